function on_request(req)
for i = 1, 1 << 62 do next({}) end
end
