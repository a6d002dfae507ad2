function on_request(req)
string.gsub(('a'):rep(60000), 'a*b', '')
end
