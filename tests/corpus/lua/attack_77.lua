function on_request(req)
weir.kv.take('x', -1, 1)
end
