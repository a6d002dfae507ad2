function on_request(req)
weir.set('tenant', 'other')
end
