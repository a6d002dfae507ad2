function on_request(req)
table.move({}, 1, 1 << 40, 2)
end
