-- SPDX-License-Identifier: Apache-2.0
-- KEYS: the value. ARGV: the prefix of tags' keys, the name. Answers how many are gone.
untag(KEYS[1], ARGV[1], ARGV[2])
return redis.call('UNLINK', KEYS[1])
