function on_request(req)
weir.tag('X', 'y')
end
