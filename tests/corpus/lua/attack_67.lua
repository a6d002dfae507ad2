function on_request(req)
for i = 1, 20 do weir.tag('x' .. i, 'y') end
end
