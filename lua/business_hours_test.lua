local berlin = "Europe/Berlin"

test("chat passes on a working day", function()
    clock("2026-03-02 09:30", berlin)
    request()
    equal(on_request().verdict, "continue")
end)

test("chat is refused in the evening, at the weekend and on a holiday", function()
    for _, time in ipairs({"2026-03-02 18:00", "2026-03-02 07:59", "2026-03-07 12:00",
                           "2026-05-01 12:00"}) do
        clock(time, berlin)
        request()
        local v = on_request()
        equal(v.status, 403, time)
        equal(v.code, "outside_business_hours", time)
    end
end)

test("the hour is the office's, in winter and in summer", function()
    clock("2026-01-12 07:30") -- UTC; 08:30 in Berlin
    request()
    equal(on_request().verdict, "continue")
    clock("2026-07-13 06:30") -- 08:30 in summer
    request()
    equal(on_request().verdict, "continue")
    clock("2026-01-12 06:30") -- 07:30
    request()
    equal(on_request().verdict, "deny")
end)

test("batch work runs at any time, by day behind others", function()
    clock("2026-03-07 12:00", berlin)
    request{class = "batch"}
    equal(on_request().verdict, "continue")
    equal(field("priority"), 0)
    clock("2026-03-02 12:00", berlin)
    request{class = "batch"}
    equal(on_request().verdict, "continue")
    equal(field("priority"), 100)
end)
