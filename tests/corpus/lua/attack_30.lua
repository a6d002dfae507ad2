function on_request(req)
return string.format('%s%s', 'x')
end
