function on_request(req)
local t, s = {}, ('x'):rep(1000) for i = 1, 1e9 do
  t[i] = s .. i if i > 900 then t[i - 900] = nil end end
end
