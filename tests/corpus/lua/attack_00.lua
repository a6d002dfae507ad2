function on_request(req)
while true do end
end
