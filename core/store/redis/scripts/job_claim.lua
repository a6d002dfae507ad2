-- SPDX-License-Identifier: Apache-2.0
-- KEYS: the queue's. ARGV: how many, lease in ms, how many bytes at most. Answers {id, value, how
-- often it was claimed, ...}.
local max_bytes, bytes, answer = tonumber(ARGV[3]), 0, {}
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%d', now_us), 'LIMIT', 0,
  ARGV[1])
for i, id in ipairs(due) do
  local value = redis.call('HGET', KEYS[2], id)
  bytes = bytes + #id + #value
  if i > 1 and bytes > max_bytes then break end
  redis.call('ZADD', KEYS[1], after_ms(ARGV[2]), id)
  answer[#answer + 1] = id
  answer[#answer + 1] = value
  answer[#answer + 1] = redis.call('HINCRBY', KEYS[3], id, 1)
end
return answer
