function on_request(req)
while true do weir.log('x') end
end
