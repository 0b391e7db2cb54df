-- Lets one call of a provider key in, or says when to come back. Twin of routing/limits.py: seed, admit.
--
-- KEYS[1] hash, the key's window:
--     at           when the levels were true (s); missing: never counted
--     requests     level of the request meter (requests)
--     tokens       level of the token meter (tokens)
--     closed       nobody is let in before this (s)
--     born         when the counting began (s): another value tells a worker that the count, and its slots, were lost
--     appointment  latest moment that somebody turned away was told (s)
-- KEYS[2] sorted set, calls in flight: reservation id -> when its slot ends (s)
--
-- ARGV: 1 now (s; empty: this server's clock)
--       2, 3 request rate (per s) and burst   4, 5 token rate (per s) and burst   6 concurrency   (each empty: no limit)
--       7 reservation id   8 tokens   9 slot's time to live (s)   10 spacing of appointments (s)   11 urgent (1 or 0)
--       12, 13 levels to begin with if the key was never counted (empty: do not begin, say so)
--
-- Returns {'admitted' | 'rate_limit' | 'concurrency' | 'unseeded', delay in s as text, born as text}.

local INSTANT_S, SLOT_TURN_S, SPREAD_S = 1e-6, 0.5, 60.0
local KEEP_S = 600

local function text(number)
  return string.format('%.17g', number)
end

local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) + tonumber(time[2]) / 1e6
end
local request_rate, request_burst = tonumber(ARGV[2]), tonumber(ARGV[3])
local token_rate, token_burst = tonumber(ARGV[4]), tonumber(ARGV[5])
local concurrency = tonumber(ARGV[6])
local spacing = tonumber(ARGV[10])

local stored = redis.call('HMGET', KEYS[1], 'at', 'requests', 'tokens', 'closed', 'appointment', 'born')
local at, requests, tokens = tonumber(stored[1] or ''), tonumber(stored[2] or ''), tonumber(stored[3] or '')
local closed, appointment = tonumber(stored[4] or '0'), tonumber(stored[5] or '0')
local born = stored[6] or text(now)
if not at then
  if ARGV[12] == '' then
    return {'unseeded', '0', ''}
  end
  at, requests, tokens = now, tonumber(ARGV[12]), tonumber(ARGV[13])
end

local passed = math.max(0, now - at)
requests = math.max(0, requests - (request_rate or 0) * passed)
tokens = math.max(0, tokens - (token_rate or 0) * passed)
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', text(now))

-- How long until a meter has room for one more; 0 when it has.
local function wait(level, rate, burst)
  if not rate then
    return 0
  end
  local seconds = (level + 1 - burst) / rate
  return seconds > INSTANT_S and seconds or 0
end

-- When to come back, as a delay: after those who were told before, spread over a minute.
local function appoint(ready)
  if ARGV[11] == '1' then
    return ready - now
  end
  local moment = math.max(ready, appointment + spacing)
  if moment > ready + SPREAD_S then
    moment = ready
  end
  appointment = moment
  return moment - now
end

local answer, delay = 'admitted', 0
local shut = closed - now
local waiting = math.max(
  shut > INSTANT_S and shut or 0,
  wait(requests, request_rate, request_burst),
  wait(tokens, token_rate, token_burst)
)
if waiting > 0 then
  answer, delay = 'rate_limit', appoint(now + waiting)
elseif concurrency and redis.call('ZCARD', KEYS[2]) >= concurrency then
  answer, delay = 'concurrency', appoint(now + SLOT_TURN_S)
else
  requests = request_rate and requests + 1 or 0
  tokens = token_rate and tokens + tonumber(ARGV[8]) or 0
  if concurrency then
    redis.call('ZADD', KEYS[2], text(now + tonumber(ARGV[9])), ARGV[7])
    redis.call('EXPIRE', KEYS[2], math.max(KEEP_S, math.ceil(tonumber(ARGV[9]))))
  end
end
redis.call('HSET', KEYS[1], 'at', text(now), 'requests', text(requests), 'tokens', text(tokens),
  'appointment', text(appointment), 'born', born)
redis.call('EXPIRE', KEYS[1], KEEP_S)
return {answer, text(delay), born}
