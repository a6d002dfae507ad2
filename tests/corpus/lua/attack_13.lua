function on_request(req)
local t = {} for i = 1, 200 do t[i] = string.rep('x', 1000) end
while true do table.concat(t) end
end
