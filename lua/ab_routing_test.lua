local function model_of(user)
    request{model = "large", user = user}
    local v = on_request()
    return v.model or "large"
end

test("a fifth of the users gets the other model", function()
    local other = 0
    for i = 1, 2000 do
        other = other + (model_of("user" .. i) == "small" and 1 or 0)
    end
    expect(other > 340 and other < 460, other .. " of 2000")
end)

test("a user always gets the same one", function()
    for i = 1, 50 do
        local first = model_of("user" .. i)
        equal(model_of("user" .. i), first)
    end
end)

test("both sides are tagged", function()
    local seen = {}
    for i = 1, 50 do
        local model = model_of("user" .. i)
        equal(tags().experiment, "2026-spring")
        equal(tags().variant, model == "small" and "b" or "a")
        seen[tags().variant] = true
    end
    expect(seen.a and seen.b)
end)

test("requests for other models are left alone", function()
    request{model = "embedder", user = "user1"}
    equal(on_request().verdict, "continue")
    equal(tags().variant, nil)
end)
