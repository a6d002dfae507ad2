local function pieces(text, n)
    local list = {}
    for i = 1, #text, n do
        list[#list + 1] = text:sub(i, i + n - 1)
    end
    return list
end

test("an address is replaced, however the text is cut", function()
    local text = "Write to jane.doe+x@mail.example.org, please."
    for n = 1, #text do
        request()
        equal(stream(pieces(text, n)), "Write to [e-mail], please.", n .. " bytes a piece")
    end
end)

test("cards, phones and IBANs are replaced, however the text is cut", function()
    local text = "Card 4111 1111 1111 1111 or +49 (30) 123456-78 or DE89 3704 0044 0532 0130 00 ok"
    for n = 1, #text do
        request()
        equal(stream(pieces(text, n)), "Card [number] or [number] or [iban] ok",
            n .. " bytes a piece")
    end
end)

test("ordinary texts and numbers stay as they are", function()
    for _, text in ipairs({"It was 1969, and 42 is the answer to 3.14.", "a@b", "no @ here @all",
                           "x = 12345678", "", "  spaces  stay  "}) do
        for n = 1, 9 do
            request()
            equal(stream(pieces(text, n)), text)
        end
    end
end)

test("a long word is not held back for ever", function()
    request()
    local text = string.rep("x", 1000)
    equal(stream(pieces(text, 7)), text)
end)

test("how much was replaced is a tag", function()
    request()
    stream{"a@b.co and ", "c@d.org "}
    on_complete()
    equal(tags().redacted, "2")
end)
