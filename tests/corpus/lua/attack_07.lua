function on_request(req)
local s = string.rep('a', 60000)
while true do string.find(s, string.rep('a', 30000) .. 'b', 1, true) end
end
