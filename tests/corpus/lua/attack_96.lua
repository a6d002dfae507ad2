function on_request(req)
return req.header(string.rep('x', 60000)) .. ''
end
