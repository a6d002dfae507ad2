-- SPDX-License-Identifier: Apache-2.0
-- Replaces what was reserved under an id by what was used. KEYS: three for each budget. ARGV: id,
-- how long to remember it, then the units used of each. Answers what is taken of each afterwards.
local id, remember, taken = ARGV[1], tonumber(ARGV[2]), {}
for i = 1, #KEYS / 3 do
  local budget, open, ids = KEYS[3 * i - 2], KEYS[3 * i - 1], KEYS[3 * i]
  local units = tonumber(ARGV[i + 2])
  age(budget, open, ids)
  forget(budget, ids)
  local all, held, kept, settled = look(budget, ids, id)
  if not settled then
    if kept then forget_kept(budget, ids, id, kept) end
    if held then
      add(budget, 'h', -held)
      redis.call('HDEL', budget, 'r' .. id)
      redis.call('ZREM', open, id)
    end
    add(budget, 'u', units)
    redis.call('ZADD', ids, time(now + remember), id)
    expire(ids, IDLE)
    all = all - (held or 0) - (kept or 0) + units
  end
  taken[i] = all
  expire(budget, IDLE)
end
return taken
