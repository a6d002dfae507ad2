-- PII redaction: e-mail addresses and long numbers (cards, phones, IBANs) do not leave in answers.
--
-- How a text is cut into pieces is chance, so what may be the beginning of something stays held back
-- until a blank or the end of the text decides it. Pieces without such an end go out at once.

local longest = 128 -- bytes held back at most; no address or number is longer

-- In the order in which they are looked for.
local rules = {
    {pattern = "[%w%.%%%+%-_]+@[%w%-]+%.[%w%.%-]+", name = "[e-mail]"},
    {pattern = "%f[%w]%u%u%d%d[%u%d ]+[%u%d]%f[%W]", name = "[iban]", min_digits = 10},
    {pattern = "%+?%f[%d]%d[%d %-%(%)/]+%d%f[%D]", name = "[number]", min_digits = 9},
}

local function count_digits(text)
    local _, n = text:gsub("%d", "")
    return n
end

local function redact(text)
    local found = 0
    for _, rule in ipairs(rules) do
        text = text:gsub(rule.pattern, function(match)
            if count_digits(match) < (rule.min_digits or 0) then
                return nil -- an ordinary number
            end
            found = found + 1
            return rule.name
        end)
    end
    return text, found
end

-- Where the part begins that may be the start of something: the last run of characters that can
-- stand in an address, or of digits with what stands between them.
local function open_end(text)
    local at = #text + 1
    local run = text:find("[^%s]+$")
    local number = text:find("%+?[%u%d][%u%d %-%(%)/]*$")
    if run then
        at = run
    end
    if number and number < at and text:find("%d", number) then
        at = number
    end
    return at
end

function on_chunk(req, chunk)
    if chunk.kind ~= "text" then
        return
    end
    local text = chunk.text
    local at = open_end(text)
    if at <= #text and not chunk.last and #text - at < longest then
        return weir.hold()
    end
    local clean, found = redact(text)
    if found > 0 then
        weir.ctx.redacted = (weir.ctx.redacted or 0) + found
        return weir.replace(clean)
    end
end

function on_complete(req, usage)
    if weir.ctx.redacted then
        weir.tag("redacted", tostring(weir.ctx.redacted))
    end
end
