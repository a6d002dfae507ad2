-- SPDX-License-Identifier: Apache-2.0
-- One step of removing a tenant's keys but its logs and marks. KEYS: the tenant's mark. ARGV: cursor,
-- the pattern of its keys, the place of the letter that tells a key's kind, how long the mark stays in
-- ms.
-- Answers {next cursor, how many are gone}.
local at, gone = tonumber(ARGV[3]), 0
if ARGV[1] == '0' then change_mark(KEYS[1], ARGV[4]) end
local step = redis.call('SCAN', ARGV[1], 'MATCH', ARGV[2], 'COUNT', 1000)
for _, key in ipairs(step[2]) do
  local kind = string.sub(key, at, at)
  if kind ~= 'L' and kind ~= 'i' and kind ~= 'x' then gone = gone + redis.call('UNLINK', key) end
end
return {step[1], gone}
