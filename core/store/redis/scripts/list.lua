-- SPDX-License-Identifier: Apache-2.0
-- KEYS: as put.lua. ARGV: the name to go on behind, how many, how many bytes at most.
-- Answers {1: there are more, name, record, ...}.
local n, max_bytes = tonumber(ARGV[2]), tonumber(ARGV[3])
local first = ARGV[1] == '' and '-' or '(' .. ARGV[1]
local names = redis.call('ZRANGEBYLEX', KEYS[2], first, '+', 'LIMIT', 0, n + 1)
local answer, bytes = {0}, 0
for i, name in ipairs(names) do
  local record = redis.call('HGET', KEYS[1], name)
  bytes = bytes + #name + #record - 16
  if i > n or (i > 1 and bytes > max_bytes) then
    answer[1] = 1
    break
  end
  answer[#answer + 1] = name
  answer[#answer + 1] = record
end
return answer
