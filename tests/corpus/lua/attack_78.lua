function on_request(req)
weir.kv.take('x', 0 / 0, 1)
end
