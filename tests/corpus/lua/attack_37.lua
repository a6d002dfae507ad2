function on_request(req)
return string.byte(string.rep('x', 60000), 1, -1)
end
