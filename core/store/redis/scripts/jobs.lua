-- SPDX-License-Identifier: Apache-2.0
-- What the scripts of jobs share. A queue is three keys: ids by when they are due in microseconds, a
-- hash of their values, and a hash of how often each was claimed.
local t = redis.call('TIME')
local now_us = tonumber(t[1]) * 1000000 + tonumber(t[2])
local function after_ms(ms) return string.format('%d', now_us + tonumber(ms) * 1000) end
