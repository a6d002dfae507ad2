function on_request(req)
weir.tag('x', 'a\nb')
end
