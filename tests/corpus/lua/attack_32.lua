function on_request(req)
return string.format('%1000d', 1)
end
