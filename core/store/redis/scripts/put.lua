-- SPDX-License-Identifier: Apache-2.0
-- Writes a record over the version named. KEYS: a hash of the records, its names in order. ARGV:
-- name, value, version or 'any'. A record is its version in 16 digits and the bytes; the field ''
-- holds the last version given, so that none comes twice. Answers {0: done, 1: another; version}.
local name, value = ARGV[1], ARGV[2]
local old = redis.call('HGET', KEYS[1], name)
local version = old and tonumber(string.sub(old, 1, 16)) or 0
if ARGV[3] ~= 'any' and tonumber(ARGV[3]) ~= version then return {1, version} end
if value == '' then
  redis.call('HDEL', KEYS[1], name)
  redis.call('ZREM', KEYS[2], name)
  return {0, 0}
end
local t = redis.call('TIME')
local last = tonumber(redis.call('HGET', KEYS[1], '') or '0')
version = math.max(tonumber(t[1]) * 1000000 + tonumber(t[2]), last + 1)
local text = string.format('%016d', version)
redis.call('HSET', KEYS[1], name, text .. value, '', text)
redis.call('ZADD', KEYS[2], 0, name)
return {0, version}
