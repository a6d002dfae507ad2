function on_request(req)
local keep = {} for i = 1, 6500 do keep[i] = {i} end
while true do local t = {1, 2, 3, 4, 5, 6, 7, 8} end
end
