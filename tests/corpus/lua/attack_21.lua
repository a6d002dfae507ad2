function on_request(req)
return weir.deny(200, 'x')
end
