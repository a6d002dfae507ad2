-- Model downgrade near the budget: a month has so many tokens. Behind a share of them requests go to
-- a smaller model with shorter answers; when all are gone they are refused.
--
-- Counted are the tokens of requests that have ended, exactly over all replicas. It is a soft budget:
-- what runs when it is reached ends as it was begun. For a hard one use the quota plugin.

local monthly_tokens = 1000000
local share = 0.8 -- behind this part of the budget, answers are of the smaller model
local smaller = {large = "small"} -- model asked for = model that runs instead
local short = 512 -- tokens of an answer then

local function month()
    local t = weir.time("UTC")
    return string.format("tokens:%04d-%02d", t.year, t.month)
end

function on_request(req)
    local spent, problem = weir.kv.add(month(), 0, 35 * 86400)
    if not spent then
        weir.log("warn", "the store is " .. problem .. ": spent tokens are not known")
        return
    end
    if spent >= monthly_tokens then
        return weir.deny(429, "This month's tokens are spent.", "monthly_budget_spent")
    end
    if spent >= monthly_tokens * share then
        weir.set("max_tokens", short)
        weir.tag("downgraded", "yes")
        local instead = smaller[req.model]
        if instead then
            return weir.route(instead)
        end
    end
end

function on_complete(req, usage)
    local tokens = usage.prompt_tokens + usage.completion_tokens
    if tokens > 0 then
        weir.kv.add(month(), tokens, 35 * 86400)
    end
end
