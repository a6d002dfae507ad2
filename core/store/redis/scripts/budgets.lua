-- SPDX-License-Identifier: Apache-2.0
-- What reserve.lua and settle.lua share. A budget is three keys: a hash (u: used, h: held,
-- 'r' .. id: an open reservation as 'units keep', 'k' .. id: units that were counted when the
-- reservation's time was over), open ids by their end, and ids that are remembered by when they may
-- be forgotten. Times in milliseconds.
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
local IDLE = 40 * 24 * 3600 * 1000

local function time(ms) return string.format('%d', ms) end

local function add(budget, field, units)
  if units ~= 0 then redis.call('HINCRBY', budget, field, string.format('%d', units)) end
end

local function expire(key, ms) redis.call('PEXPIRE', key, time(ms)) end

-- Ends reservations whose time is over.
local function age(budget, open, ids)
  repeat
    local ended = redis.call('ZRANGEBYSCORE', open, '-inf', time(now), 'LIMIT', 0, 100)
    for _, id in ipairs(ended) do
      local r = redis.call('HGET', budget, 'r' .. id)
      if r then
        local units, keep = string.match(r, '^(%d+) (%d)$')
        add(budget, 'h', -tonumber(units))
        if keep == '1' then
          add(budget, 'u', tonumber(units))
          redis.call('HSET', budget, 'k' .. id, units)
          redis.call('ZADD', ids, time(now + IDLE), id)
          expire(ids, IDLE)
        end
        redis.call('HDEL', budget, 'r' .. id)
      end
      redis.call('ZREM', open, id)
    end
  until #ended < 100
end

-- Forgets ids that may come again.
local function forget(budget, ids)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', ids, '-inf', time(now), 'LIMIT', 0, 100)) do
    redis.call('HDEL', budget, 'k' .. id)
    redis.call('ZREM', ids, id)
  end
end

-- used and held together; units of the id's open reservation; units kept; whether it was settled.
local function look(budget, ids, id)
  local f = redis.call('HMGET', budget, 'u', 'h', 'r' .. id, 'k' .. id)
  local held = f[3] and tonumber(string.match(f[3], '^(%d+)'))
  local kept = f[4] and tonumber(f[4])
  local settled = not kept and redis.call('ZSCORE', ids, id)
  return (tonumber(f[1]) or 0) + (tonumber(f[2]) or 0), held, kept, settled
end

local function forget_kept(budget, ids, id, kept)
  add(budget, 'u', -kept)
  redis.call('HDEL', budget, 'k' .. id)
  redis.call('ZREM', ids, id)
end
