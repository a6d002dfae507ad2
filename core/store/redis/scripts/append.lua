-- SPDX-License-Identifier: Apache-2.0
-- KEYS: the log, a stream whose ids are PLACE-0; the id's place. ARGV: id, value, how long the id is
-- remembered. Answers {0: appended, 1: it was there; place}.
local place = redis.call('GET', KEYS[2])
if place then return {1, tonumber(place)} end
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
place = last and tonumber(string.match(last[1], '^%d+')) + 1 or 1
local text = string.format('%d', place)
redis.call('XADD', KEYS[1], text .. '-0', 'i', ARGV[1], 'v', ARGV[2])
redis.call('SET', KEYS[2], text, 'PX', ARGV[3])
return {0, place}
