function on_request(req)
return string.find('aaa', '(a+)+b') .. ''
end
