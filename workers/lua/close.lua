-- Lets nobody in with a provider key for some time (its Retry-After). Twin of routing/limits.py: close.
--
-- KEYS[1] hash: see admit.lua
-- ARGV: 1 now (s; empty: this server's clock)   2 how long (s)   3 the key's text   4 channel of the notices
--
-- A later closing stands. Returns the notice (JSON, see jobs/gatekeys.py), which is published, too.

local KEEP_S = 600

local function text(number)
  return string.format('%.17g', number)
end

local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) + tonumber(time[2]) / 1e6
end
local closed = math.max(tonumber(redis.call('HGET', KEYS[1], 'closed') or '0'), now + tonumber(ARGV[2]))
redis.call('HSET', KEYS[1], 'closed', text(closed))
redis.call('EXPIRE', KEYS[1], KEEP_S)
local notice = cjson.encode({about = 'closing', subject = ARGV[3], at_s = text(now), until_s = text(closed)})
redis.call('PUBLISH', ARGV[4], notice)
return notice
