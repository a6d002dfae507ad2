-- SPDX-License-Identifier: Apache-2.0
-- What the scripts of values share. A value is a string: its version in 16 digits, the number of its
-- tags in 2, each tag with its length in 3 digits before it, and the bytes. A tag is a sorted set of
-- the keys that have it, by when they expire.
local t = redis.call('TIME')
local now_us = tonumber(t[1]) * 1000000 + tonumber(t[2])
local now_ms = math.floor(now_us / 1000)

-- Another one after each invalidation of one of the tags ARGV[from] and behind, and when the tenant is
-- erased, whose mark has no name. They are milliseconds, so that the sum of seventeen is exact.
local function mark_of(mark_prefix, from)
  local keys, sum = {mark_prefix}, 0
  for i = from, #ARGV do keys[#keys + 1] = mark_prefix .. ARGV[i] end
  for _, mark in ipairs(redis.call('MGET', unpack(keys))) do sum = sum + (tonumber(mark or 0)) end
  return sum
end

-- Another mark than before, which stays for `ms`.
local function change_mark(key, ms)
  local mark = math.max(now_ms, tonumber(redis.call('GET', key) or 0) + 1)
  redis.call('SET', key, string.format('%d', mark), 'PX', ms)
end

-- Takes the value, if there is one, out of its tags; answers its version.
local function untag(value, tag_prefix, member)
  local head = redis.call('GETRANGE', value, 0, 17)
  if #head < 18 then return nil end
  local at = 18
  for _ = 1, tonumber(string.sub(head, 17, 18)) do
    local n = tonumber(redis.call('GETRANGE', value, at, at + 2))
    redis.call('ZREM', tag_prefix .. redis.call('GETRANGE', value, at + 3, at + 2 + n), member)
    at = at + 3 + n
  end
  return tonumber(string.sub(head, 1, 16))
end
