function on_request(req)
return table.concat({}, 'x', 1, 1 << 60)
end
