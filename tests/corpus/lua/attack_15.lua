function on_request(req)
while true do tostring(1.5) end
end
