function on_request(req)
local s = string.rep('a', 60000) local u = string.rep('a', 59999) .. 'b'
while true do local x = s == u end
end
