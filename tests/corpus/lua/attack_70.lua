function on_request(req)
for i = 1, 20 do weir.ctx['x' .. i] = i end
end
