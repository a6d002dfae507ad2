function on_request(req)
return string.sub('x', 1 << 63, (1 << 63) - 1) .. nil
end
