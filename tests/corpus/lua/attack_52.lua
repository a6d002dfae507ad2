function on_request(req)
('x'):rep(60000):gsub('.', function() while true do end end)
end
