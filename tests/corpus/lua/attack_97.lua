function on_request(req)
if kept then return kept.model end kept = req error('once')
end
