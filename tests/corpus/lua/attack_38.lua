function on_request(req)
string.find(('a'):rep(28), ('a?'):rep(28) .. ('a'):rep(28))
end
