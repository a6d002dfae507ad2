function on_request(req)
string.find(('a'):rep(60), '.-.-.-.-.-.-.-b')
end
