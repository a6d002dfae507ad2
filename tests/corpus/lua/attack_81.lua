function on_request(req)
weir.time('/etc/passwd')
end
