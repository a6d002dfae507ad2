-- Business hours: chat in the office's working time only, batch work outside of it.
--
-- The time zone's own rules decide, daylight saving included. Change the table below.

local office = {
    zone = "Europe/Berlin",
    from = 8, -- o'clock, included
    to = 18, -- o'clock, not included
    holidays = {["01-01"] = true, ["05-01"] = true, ["12-25"] = true, ["12-26"] = true},
}

local function is_open(t)
    local date = string.format("%02d-%02d", t.month, t.day)
    return t.weekday <= 5 and t.hour >= office.from and t.hour < office.to
        and not office.holidays[date]
end

function on_request(req)
    local open = is_open(weir.time(office.zone))
    if req.class == "batch" then
        if open then
            weir.set("priority", 100) -- runs, behind everything else
        end
        return
    end
    if not open then
        return weir.deny(403, string.format("Chat is open Monday to Friday, %d to %d o'clock (%s).",
            office.from, office.to, office.zone), "outside_business_hours")
    end
end
