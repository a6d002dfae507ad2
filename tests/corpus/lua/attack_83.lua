function on_request(req)
weir.time('UTC', math.maxinteger)
end
