function on_request(req)
while true do weir.kv.get('x') end
end
