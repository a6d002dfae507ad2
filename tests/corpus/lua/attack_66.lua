function on_request(req)
while true do weir.tag('x', 'y') end
end
