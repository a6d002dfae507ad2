-- SPDX-License-Identifier: Apache-2.0
-- KEYS: the log. ARGV: the place to go on behind, how many, how many bytes at most.
-- Answers {1: there are more, place, id, value, ...}.
local n, max_bytes = tonumber(ARGV[2]), tonumber(ARGV[3])
local answer, bytes, given, after = {0}, 0, 0, ARGV[1] .. '-0'
while true do
  -- In small parts: entries may be large, and the bytes are bounded.
  local part = redis.call('XRANGE', KEYS[1], '(' .. after, '+', 'COUNT', 16)
  for _, entry in ipairs(part) do
    local id, value = entry[2][2], entry[2][4]
    bytes = bytes + #id + #value
    if given == n or (given > 0 and bytes > max_bytes) then
      answer[1] = 1
      return answer
    end
    given, after = given + 1, entry[1]
    answer[#answer + 1] = tonumber(string.match(entry[1], '^%d+'))
    answer[#answer + 1] = id
    answer[#answer + 1] = value
  end
  if #part < 16 then return answer end
end
