function on_request(req)
('x').y = 1
end
