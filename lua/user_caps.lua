-- Caps for each user: so many requests a minute and prompt tokens a day, and shorter answers for
-- those who do not pay. The limits hold over all replicas.

local plans = {
    free = {requests_a_minute = 10, prompt_tokens_a_day = 20000, answer_tokens = 256},
    paid = {requests_a_minute = 60, prompt_tokens_a_day = 2000000, answer_tokens = 4096},
}
local paying = {["alice@example.org"] = true} -- or read it with weir.kv.get("plan:" .. user)

function on_request(req)
    local user = req.user
    if not user then
        return weir.deny(400, "Name the user in 'user'.", "user_required")
    end
    local plan = plans[paying[user] and "paid" or "free"]
    weir.tag("plan", paying[user] and "paid" or "free")
    weir.set("max_tokens", plan.answer_tokens)
    return weir.set_limit("requests of " .. user, plan.requests_a_minute, 60)
        or weir.set_limit("tokens of " .. user, plan.prompt_tokens_a_day, 86400, req.prompt_tokens)
end
