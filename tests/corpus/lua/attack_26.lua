function on_request(req)
req.model = 'x'
end
