function on_request(req)
local t = {} for i = 1, 20000 do t[i] = 1 end for i = 1, 20000 do t[i] = nil end
while true do next(t) end
end
