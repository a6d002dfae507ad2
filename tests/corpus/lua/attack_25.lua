function on_request(req)
counter = 1
end
