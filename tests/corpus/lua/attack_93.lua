function on_request(req)
return 'text'
end
