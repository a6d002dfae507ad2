function on_request(req)
table.sort({1, 'x', {}})
end
