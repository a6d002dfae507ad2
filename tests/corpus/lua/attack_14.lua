function on_request(req)
while true do string.format('%99.99f', 1e308) end
end
