function on_request(req)
return string.format('%n', 1)
end
