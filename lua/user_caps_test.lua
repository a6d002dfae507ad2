local function ask(user, prompt_tokens)
    request{user = user, prompt_tokens = prompt_tokens or 10}
    return on_request()
end

test("a request without user is refused", function()
    request()
    equal(on_request().code, "user_required")
end)

test("each user has requests of his own, which come back", function()
    for _ = 1, 10 do
        equal(ask("bob").verdict, "continue")
    end
    local v = ask("bob")
    equal(v.status, 429)
    equal(v.code, "rate_limit_exceeded")
    expect(v.retry_after > 0 and v.retry_after <= 6, "a tenth of a minute at most")
    equal(ask("carol").verdict, "continue")
    advance(6)
    equal(ask("bob").verdict, "continue")
    equal(ask("bob").verdict, "deny")
end)

test("prompt tokens are limited by the day", function()
    equal(ask("bob", 15000).verdict, "continue")
    equal(ask("bob", 15000).verdict, "deny")
    equal(ask("bob", 4000).verdict, "continue")
    advance(86400)
    equal(ask("bob", 15000).verdict, "continue")
end)

test("who pays may do more", function()
    for _ = 1, 60 do
        equal(ask("alice@example.org").verdict, "continue")
    end
    equal(field("max_tokens"), 1000) -- asked for less than the plan has
    equal(tags().plan, "paid")
    ask("bob")
    equal(field("max_tokens"), 256)
    equal(tags().plan, "free")
end)
