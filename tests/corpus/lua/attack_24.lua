function on_request(req)
math.pi = 3
end
