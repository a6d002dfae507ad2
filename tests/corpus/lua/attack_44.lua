function on_request(req)
while true do string.find(('x'):rep(1000), '%f[%a]y') end
end
