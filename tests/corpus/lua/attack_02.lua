function on_request(req)
local t = {} local i = 1 while true do t[i] = i i = i + 1 end
end
