function on_request(req)
for i = 1, 1000 do t[#t + 1] = string.rep('x', 1000) end
end
