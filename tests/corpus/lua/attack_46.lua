function on_request(req)
return ('x'):find('[a')
end
