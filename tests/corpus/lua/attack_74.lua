function on_request(req)
('x'):gsub('x', function() weir.kv.get('x') end)
end
