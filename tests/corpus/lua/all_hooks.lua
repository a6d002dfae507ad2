local n = 0
function on_request(req) n = n + 1 weir.ctx.n = n weir.set("user", req.model) return weir.set_limit("a", 1, 60) end
function on_route(req) return weir.route("other", "x/1") end
function on_chunk(req, chunk) if chunk.last then return end return weir.replace(chunk.text:upper()) end
function on_complete(req, usage) weir.kv.add("n", usage.status, 60) weir.tag("n", tostring(weir.ctx.n)) end
