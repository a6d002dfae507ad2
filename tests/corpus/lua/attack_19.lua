function on_request(req)
return 1
end
