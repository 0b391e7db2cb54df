-- Lets nobody in with a provider key for some time (its Retry-After). Twin of routing/limits.py: close.
--
-- KEYS[1] hash: see admit.lua
-- ARGV: 1 now (s; empty: this server's clock)   2 how long (s)
--
-- A later closing stands. Returns 1.

local KEEP_S = 600

local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) + tonumber(time[2]) / 1e6
end
local closed = math.max(tonumber(redis.call('HGET', KEYS[1], 'closed') or '0'), now + tonumber(ARGV[2]))
redis.call('HSET', KEYS[1], 'closed', string.format('%.17g', closed))
redis.call('EXPIRE', KEYS[1], KEEP_S)
return 1
