function on_request(req)
for _ in string.gmatch(('('):rep(60000), '%b()') do end
end
