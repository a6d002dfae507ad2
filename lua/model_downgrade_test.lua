local function spend(tokens)
    request{model = "large"}
    on_complete{prompt_tokens = tokens, completion_tokens = 0}
end

test("with tokens left the model is the one asked for", function()
    spend(1000)
    request{model = "large"}
    equal(on_request().verdict, "continue")
    equal(field("max_tokens"), 1000)
end)

test("near the budget a smaller model answers, and shorter", function()
    spend(800000)
    request{model = "large"}
    local v = on_request()
    equal(v.verdict, "route")
    equal(v.model, "small")
    equal(field("max_tokens"), 512)
    equal(tags().downgraded, "yes")
    request{model = "other", max_tokens = 100}
    equal(on_request().verdict, "continue")
    equal(field("max_tokens"), 100)
end)

test("without tokens left requests are refused until the month ends", function()
    spend(999999)
    spend(1)
    request{model = "large"}
    local v = on_request()
    equal(v.status, 429)
    equal(v.code, "monthly_budget_spent")
    clock("2026-02-01 00:00")
    request{model = "large"}
    equal(on_request().verdict, "continue")
end)
