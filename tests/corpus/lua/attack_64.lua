function on_request(req)
local t <close> = {}
end
