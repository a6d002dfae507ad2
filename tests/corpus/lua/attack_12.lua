function on_request(req)
local function f() return f() end return f()
end
