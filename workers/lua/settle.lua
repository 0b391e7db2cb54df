-- Gives a call's slot back and corrects the token level. Twin of routing/limits.py: settle.
--
-- KEYS[1] hash and KEYS[2] sorted set: see admit.lua
-- ARGV: 1 now (s; empty: this server's clock)   2 request rate   3 token rate (per s; empty: no limit)
--       4 reservation id   5 tokens to add to the level (below 0: to take off)
--
-- A window that was never counted (or lost) stays so: the next admission seeds it. Returns 1 if the slot was held.

local function text(number)
  return string.format('%.17g', number)
end

local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) + tonumber(time[2]) / 1e6
end
local held = redis.call('ZREM', KEYS[2], ARGV[4])
local stored = redis.call('HMGET', KEYS[1], 'at', 'requests', 'tokens')
if not stored[1] then
  return held
end
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', text(now))
local request_rate, token_rate = tonumber(ARGV[2]), tonumber(ARGV[3])
local passed = math.max(0, now - tonumber(stored[1]))
local requests = math.max(0, tonumber(stored[2]) - (request_rate or 0) * passed)
local tokens = math.max(0, tonumber(stored[3]) - (token_rate or 0) * passed)
tokens = token_rate and math.max(0, tokens + tonumber(ARGV[5])) or 0
redis.call('HSET', KEYS[1], 'at', text(now), 'requests', text(requests), 'tokens', text(tokens))
return held
