function on_request(req)
return ('x'):rep(60000):gsub('x', ('y'):rep(100))
end
