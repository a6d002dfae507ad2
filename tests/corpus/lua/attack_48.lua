function on_request(req)
return ('x'):find('%1')
end
