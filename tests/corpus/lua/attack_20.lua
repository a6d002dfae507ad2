function on_request(req)
return req
end
