function on_request(req)
return ('x').y.z
end
