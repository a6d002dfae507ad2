function on_request(req)
error()
end
