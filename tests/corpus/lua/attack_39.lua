function on_request(req)
string.find(('a'):rep(400), '.-.-.-.-b')
end
