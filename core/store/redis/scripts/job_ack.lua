-- SPDX-License-Identifier: Apache-2.0
-- KEYS: as jobs.lua. ARGV: id. Answers how many were there.
redis.call('HDEL', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[1])
return redis.call('ZREM', KEYS[1], ARGV[1])
