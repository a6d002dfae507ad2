-- SPDX-License-Identifier: Apache-2.0
-- Reserves in all budgets or in none. KEYS: three for each budget. ARGV: id, ttl, keep (0 or 1),
-- then units and limit of each. Answers {0: done, 1: refused, 2: settled before; which refused;
-- what is taken of each budget afterwards...}.
local id, ttl, keep = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local code, by, taken, seen = 0, 0, {}, {}
for i = 1, #KEYS / 3 do
  local budget, open, ids = KEYS[3 * i - 2], KEYS[3 * i - 1], KEYS[3 * i]
  local units, limit = tonumber(ARGV[2 * i + 2]), tonumber(ARGV[2 * i + 3])
  age(budget, open, ids)
  local all, held, kept, settled = look(budget, ids, id)
  local others = all - (held or 0) - (kept or 0)
  taken[i], seen[i] = all, {others, held or 0, kept}
  if settled then
    code = 2
  elseif code == 0 and (others > limit or units > limit - others) then
    code, by = 1, i - 1
  end
end
for i = 1, #KEYS / 3 do
  local budget, open, ids = KEYS[3 * i - 2], KEYS[3 * i - 1], KEYS[3 * i]
  if code == 0 then
    local units = ARGV[2 * i + 2]
    local others, held, kept = seen[i][1], seen[i][2], seen[i][3]
    if kept then forget_kept(budget, ids, id, kept) end
    add(budget, 'h', tonumber(units) - held)
    redis.call('HSET', budget, 'r' .. id, units .. ' ' .. keep)
    redis.call('ZADD', open, time(now + ttl), id)
    expire(open, math.max(IDLE, ttl))
    taken[i] = others + tonumber(units)
  end
  expire(budget, math.max(IDLE, ttl))
end
return {code, by, unpack(taken)}
