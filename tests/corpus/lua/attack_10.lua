function on_request(req)
local t = {} for i = 1, 100000 do table.insert(t, 1, i) end
end
