-- SPDX-License-Identifier: Apache-2.0
-- KEYS: the queue's. ARGV: id, value, delay in ms.
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
redis.call('HDEL', KEYS[3], ARGV[1])
redis.call('ZADD', KEYS[1], after_ms(ARGV[3]), ARGV[1])
return 0
