function on_request(req)
weir.ctx.x = {}
end
