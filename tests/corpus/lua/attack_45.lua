function on_request(req)
return ('x'):find(('x'):rep(257) .. '.')
end
