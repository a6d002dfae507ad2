function on_request(req)
table.insert(string, 1)
end
