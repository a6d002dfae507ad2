function on_request(req)
weir.set('max_tokens', -1)
end
