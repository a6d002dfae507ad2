function on_request(req)
return string.rep('', 1 << 40) .. string.rep('ab', 1 << 62)
end
