function on_request(req)
return req.nosuch
end
