function on_request(req)
return table.unpack({}, 1, 1 << 60)
end
