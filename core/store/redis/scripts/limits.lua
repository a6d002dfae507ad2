-- SPDX-License-Identifier: Apache-2.0
-- Takes from limits, all or none, or gives back. KEYS: the levels. ARGV: 'take' or 'give', then for
-- each level the span of its units and its depth, in nanoseconds (core/store/limit.h).
-- Answers {1 or 0, how far each level is ahead of now afterwards...}. A level is the point in time
-- until which it is used up, as 'seconds nanoseconds': one number of nanoseconds would not be exact.
local t = redis.call('TIME')
local now_s, now_ns = tonumber(t[1]), tonumber(t[2]) * 1000
local give = ARGV[1] == 'give'
local stored = redis.call('MGET', unpack(KEYS))
local ahead, passed, lowered = {}, 1, {}
for i = 1, #KEYS do
  local units, depth = tonumber(ARGV[2 * i]), tonumber(ARGV[2 * i + 1])
  local a = 0
  if stored[i] then
    local s, ns = string.match(stored[i], '^(%d+) (%d+)$')
    a = (tonumber(s) - now_s) * 1e9 + (tonumber(ns) - now_ns)
    -- Beyond the depth: the burst became smaller, the clock of a new master is behind, or it was set
    -- back. Written down also when it refuses, or it would refuse until the old time has come.
    lowered[i] = a > depth
    a = math.max(0, math.min(a, depth))
  end
  ahead[i] = a
  if not give and units > 0 and a + units > depth then passed = 0 end
end
for i = 1, #KEYS do
  local units = tonumber(ARGV[2 * i])
  local moves = passed == 1 and units > 0
  if moves or lowered[i] then
    local a = ahead[i]
    if moves then a = give and math.max(0, a - units) or a + units end
    ahead[i] = a
    if a == 0 then
      redis.call('DEL', KEYS[i])
    else
      local s = math.floor((now_ns + a) / 1e9)
      redis.call('SET', KEYS[i], string.format('%d %d', now_s + s, now_ns + a - s * 1e9),
        'PX', string.format('%d', math.ceil(a / 1e6) + 1))
    end
  end
end
return {passed, unpack(ahead)}
