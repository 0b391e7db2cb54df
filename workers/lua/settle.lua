-- Gives a call's slot back and corrects the token level, in each of its windows. Twin of routing/limits.py: settle.
--
-- KEYS[1], KEYS[2] hash and sorted set of the first window, KEYS[3], KEYS[4] of the second ...: see admit.lua
-- ARGV: 1 now (s; empty: this server's clock)   2 reservation id   3 tokens to add to the level (below 0: to take off),
--       then for each window   request rate   token rate (per s; empty: no limit)
--
-- A window that was never counted (or lost) stays so: the next admission seeds it. Returns how many slots were held.

local function text(number)
  return string.format('%.17g', number)
end

local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) + tonumber(time[2]) / 1e6
end

local function settle(hash, slots, request_rate, token_rate)
  local held = redis.call('ZREM', slots, ARGV[2])
  local stored = redis.call('HMGET', hash, 'at', 'requests', 'tokens')
  if not stored[1] then
    return held
  end
  redis.call('ZREMRANGEBYSCORE', slots, '-inf', text(now))
  local passed = math.max(0, now - tonumber(stored[1]))
  local requests = math.max(0, tonumber(stored[2]) - (request_rate or 0) * passed)
  local tokens = math.max(0, tonumber(stored[3]) - (token_rate or 0) * passed)
  tokens = token_rate and math.max(0, tokens + tonumber(ARGV[3])) or 0
  redis.call('HSET', hash, 'at', text(now), 'requests', text(requests), 'tokens', text(tokens))
  return held
end

local held = 0
for place = 1, #KEYS, 2 do
  held = held + settle(KEYS[place], KEYS[place + 1], tonumber(ARGV[place + 3]), tonumber(ARGV[place + 4]))
end
return held
