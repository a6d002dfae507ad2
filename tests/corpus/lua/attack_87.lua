function on_request(req)
weir.set('class', 'root')
end
