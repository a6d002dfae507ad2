function on_request(req)
weir.deny = nil
end
