-- Counts a worker's calls in flight again after Redis lost them.
--
-- KEYS[1] hash and KEYS[2] sorted set of a window: see admit.lua
-- ARGV: 1 now (s; empty: this server's clock), then for each call   reservation id   rest of its slot's time to live (s)
--
-- A slot that is there stands. Returns how many were missing.

local KEEP_S = 600

local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) + tonumber(time[2]) / 1e6
end
local missing, longest = 0, KEEP_S
for place = 2, #ARGV, 2 do
  local rest = tonumber(ARGV[place + 1])
  missing = missing + redis.call('ZADD', KEYS[2], 'NX', string.format('%.17g', now + rest), ARGV[place])
  longest = math.max(longest, math.ceil(rest))
end
redis.call('EXPIRE', KEYS[2], longest)
return missing
