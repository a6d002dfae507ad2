function on_request(req)
local function f() return f() + 1 end return f()
end
