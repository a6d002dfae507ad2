-- SPDX-License-Identifier: Apache-2.0
-- KEYS: the tag, its mark. ARGV: the prefix of tags' keys, the prefix of values' keys, how many at
-- most, how long the mark stays in ms.
-- Answers {how many values are gone, 1: there are more}.
local at_most, gone = tonumber(ARGV[3]), 0
change_mark(KEYS[2], ARGV[4])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%d', now_ms))
local members = redis.call('ZRANGE', KEYS[1], 0, at_most - 1)
for _, member in ipairs(members) do
  local value = ARGV[2] .. member
  untag(value, ARGV[1], member)
  gone = gone + redis.call('UNLINK', value)
  redis.call('ZREM', KEYS[1], member)
end
return {gone, redis.call('EXISTS', KEYS[1])}
