function on_request(req)
weir.kv.set('x', ('x'):rep(70000))
end
