function on_request(req)
return string.format('%')
end
