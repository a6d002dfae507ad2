function on_request(req)
return weir.deny(400, 'x', 'y', 0 / 0)
end
