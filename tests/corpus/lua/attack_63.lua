function on_request(req)
local function g(...) return g(1, ...) end g()
end
