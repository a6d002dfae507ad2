function on_request(req)
local function f(s) return (s:gsub('.', f)) end return f('x')
end
