function on_request(req)
string.upper = nil
end
