function on_request(req)
table.move({}, 1, 1 << 29, 2)
end
