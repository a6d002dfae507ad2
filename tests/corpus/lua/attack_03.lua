function on_request(req)
local t = {} while true do t = {t} end
end
