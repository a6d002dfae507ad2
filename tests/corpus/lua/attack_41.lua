function on_request(req)
string.match(('a'):rep(60000), '(a*)(a*)(a*)(a*)b')
end
