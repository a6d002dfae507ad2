function on_request(req)
return ('x'):find('(')
end
