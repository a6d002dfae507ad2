function on_request(req)
weir.deny(400, ('x'):rep(600))
end
