function on_request(req)
return weir.route()
end
