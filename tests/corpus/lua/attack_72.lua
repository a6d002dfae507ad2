function on_request(req)
weir.ctx.x = ('x'):rep(2000)
end
