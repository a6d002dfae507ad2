function on_request(req)
return string.rep('x', 1 << 40)
end
