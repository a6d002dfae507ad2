function on_request(req)
weir.time('Europe/Nowhere')
end
