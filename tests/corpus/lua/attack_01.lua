function on_request(req)
local s = 'x' while true do s = s .. s end
end
