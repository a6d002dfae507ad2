-- A/B routing: a share of the users gets another model, each user always the same one.
--
-- The tag "variant" is in the access log and with the usage, so that the two can be compared.

local experiment = {
    name = "2026-spring", -- another name shuffles the users anew
    model = "large", -- requests for this model
    variants = { -- percent of the users; the rest stays
        {name = "b", percent = 20, model = "small"},
    },
}

local function variant_of(user)
    local place = weir.hash(experiment.name .. ":" .. user) % 10000 / 100
    for _, variant in ipairs(experiment.variants) do
        if place < variant.percent then
            return variant
        end
        place = place - variant.percent
    end
end

function on_request(req)
    if req.model ~= experiment.model then
        return
    end
    local variant = variant_of(req.user or req.key_id or req.request_id)
    weir.tag("experiment", experiment.name)
    weir.tag("variant", variant and variant.name or "a")
    if variant then
        return weir.route(variant.model)
    end
end
