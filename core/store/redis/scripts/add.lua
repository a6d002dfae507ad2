-- SPDX-License-Identifier: Apache-2.0
-- KEYS: the counter. ARGV: delta, time in ms or 0, what it becomes when it overflows.
-- Answers the sum as text: a number of Lua would not be exact.
local there = redis.call('EXISTS', KEYS[1])
local sum = redis.pcall('INCRBY', KEYS[1], ARGV[1])
if type(sum) == 'table' then
  if not string.find(sum.err, 'overflow', 1, true) then return sum end
  redis.call('SET', KEYS[1], ARGV[3], 'KEEPTTL')
end
if there == 0 and ARGV[2] ~= '0' then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return redis.call('GET', KEYS[1])
