function on_request(req)
weir.kv.get(('x'):rep(300))
end
