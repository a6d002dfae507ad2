-- SPDX-License-Identifier: Apache-2.0
-- KEYS: the value. ARGV: the prefix of tags' keys, the name, the bytes, its time in ms or 0, the prefix
-- of marks' keys, the mark that there must be or '', tags...
-- Answers the version: the time in microseconds, and more than the last one; 0: another mark.
if ARGV[6] ~= '' and tonumber(ARGV[6]) ~= mark_of(ARGV[5], 7) then return 0 end
local prefix, member, ttl = ARGV[1], ARGV[2], tonumber(ARGV[4])
local version = math.max(now_us, (untag(KEYS[1], prefix, member) or 0) + 1)
local head = {string.format('%016d%02d', version, #ARGV - 6)}
for i = 7, #ARGV do head[#head + 1] = string.format('%03d', #ARGV[i]) .. ARGV[i] end
local value = table.concat(head) .. ARGV[3]
local ends = ttl > 0 and string.format('%d', now_ms + ttl) or '+inf'
if ttl > 0 then
  redis.call('SET', KEYS[1], value, 'PXAT', ends)
else
  redis.call('SET', KEYS[1], value)
end
for i = 7, #ARGV do
  local tag = prefix .. ARGV[i]
  redis.call('ZREMRANGEBYSCORE', tag, '-inf', string.format('%d', now_ms))
  redis.call('ZADD', tag, ends, member)
  local last = redis.call('ZRANGE', tag, -1, -1, 'WITHSCORES')[2]
  if last == 'inf' then
    redis.call('PERSIST', tag)
  else
    redis.call('PEXPIREAT', tag, string.format('%d', tonumber(last)))
  end
end
return version
