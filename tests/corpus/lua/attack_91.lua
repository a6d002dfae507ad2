function on_request(req)
return weir.hold()
end
