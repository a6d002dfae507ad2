function on_request(req)
return ('x'):gsub('x', '%2')
end
