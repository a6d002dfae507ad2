function on_request(req)
weir.kv.take('x', 1, math.huge)
end
