-- Lets one call in where each of its windows has room (its key's, its model's), or says when to come back.
-- Twin of routing/limits.py: seed, admit, admit_all.
--
-- KEYS[1] set, the models of the key that have a window of their own
-- KEYS[2], KEYS[3] of the first window, KEYS[4], KEYS[5] of the second ...:
--   hash, the window:
--     at           when the levels were true (s); missing: never counted
--     requests     level of the request meter (requests)
--     tokens       level of the token meter (tokens)
--     born         when the counting began (s): another value tells a worker that the count, and its slots, were lost
--     appointment  latest moment that somebody turned away was told (s)
--   sorted set, calls in flight: reservation id -> when its slot ends (s)
--
-- ARGV: 1 now (s; empty: this server's clock)   2 reservation id   3 tokens   4 slot's time to live (s)
--       5 urgent (1 or 0), then nine for each window:
--       1, 2 request rate (per s) and burst   3, 4 token rate (per s) and burst   5 concurrency   (each empty: no limit)
--       6 spacing of appointments (s)   7 model (* : the whole key)
--       8, 9 levels to begin with if it was never counted (empty: do not begin, say so)
--
-- Returns {'admitted' | 'rate_limit' | 'concurrency' | 'unseeded', delay in s as text, then for each window its `born` as
-- text; empty: it wants levels}.

local INSTANT_S, SLOT_TURN_S, SPREAD_S = 1e-6, 0.5, 60.0
local KEEP_S = 600
local COMMON, EACH = 5, 9

local function text(number)
  return string.format('%.17g', number)
end

local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) + tonumber(time[2]) / 1e6
end
local id, cost, life, urgent = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5] == '1'

-- What is known of a window, as it stands now.
local function opened(place)
  local from = COMMON + (place - 1) * EACH
  local window = {hash = KEYS[2 * place], slots = KEYS[2 * place + 1], request_rate = tonumber(ARGV[from + 1]),
    request_burst = tonumber(ARGV[from + 2]), token_rate = tonumber(ARGV[from + 3]),
    token_burst = tonumber(ARGV[from + 4]), concurrency = tonumber(ARGV[from + 5]), spacing = tonumber(ARGV[from + 6]),
    model = ARGV[from + 7]}
  local stored = redis.call('HMGET', window.hash, 'at', 'requests', 'tokens', 'appointment', 'born')
  local at = tonumber(stored[1] or '')
  window.requests, window.tokens = tonumber(stored[2] or ''), tonumber(stored[3] or '')
  window.appointment, window.born = tonumber(stored[4] or '0'), stored[5] or text(now)
  if not at then
    if ARGV[from + 8] == '' then
      window.born = ''
      return window
    end
    at, window.requests, window.tokens = now, tonumber(ARGV[from + 8]), tonumber(ARGV[from + 9])
  end
  local passed = math.max(0, now - at)
  window.requests = math.max(0, window.requests - (window.request_rate or 0) * passed)
  window.tokens = math.max(0, window.tokens - (window.token_rate or 0) * passed)
  return window
end

-- How long until a meter has room for one more; 0 when it has.
local function wait(level, rate, burst)
  if not rate then
    return 0
  end
  local seconds = (level + 1 - burst) / rate
  return seconds > INSTANT_S and seconds or 0
end

-- When to come back, as a delay: after those who were told before, spread over a minute.
local function appoint(window, ready)
  if urgent then
    return ready - now
  end
  local moment = math.max(ready, window.appointment + window.spacing)
  if moment > ready + SPREAD_S then
    moment = ready
  end
  window.appointment = moment
  return moment - now
end

-- Why a window has no room, and the delay; nothing when it has.
local function refusal(window)
  local waiting = math.max(
    wait(window.requests, window.request_rate, window.request_burst),
    wait(window.tokens, window.token_rate, window.token_burst)
  )
  if waiting > 0 then
    return 'rate_limit', appoint(window, now + waiting)
  elseif window.concurrency and redis.call('ZCARD', window.slots) >= window.concurrency then
    return 'concurrency', appoint(window, now + SLOT_TURN_S)
  end
end

local function count(window)
  window.requests = window.request_rate and window.requests + 1 or 0
  window.tokens = window.token_rate and window.tokens + cost or 0
  if window.concurrency then
    redis.call('ZADD', window.slots, text(now + life), id)
    redis.call('EXPIRE', window.slots, math.max(KEEP_S, math.ceil(life)))
  end
end

local windows, is_whole = {}, true
local answer, delay = 'admitted', 0
local reply = {answer, '0'}
for place = 1, (#KEYS - 1) / 2 do
  windows[place] = opened(place)
  reply[place + 2] = windows[place].born
  is_whole = is_whole and windows[place].born ~= ''
end
if not is_whole then
  reply[1] = 'unseeded'
  return reply
end
for _, window in ipairs(windows) do
  redis.call('ZREMRANGEBYSCORE', window.slots, '-inf', text(now))
  local reason, seconds = refusal(window)
  if reason and (answer == 'admitted' or seconds > delay) then
    answer, delay = reason, seconds
  end
end
for _, window in ipairs(windows) do
  if answer == 'admitted' then
    count(window)
  end
  redis.call('HSET', window.hash, 'at', text(now), 'requests', text(window.requests), 'tokens', text(window.tokens),
    'appointment', text(window.appointment), 'born', window.born)
  redis.call('EXPIRE', window.hash, KEEP_S)
  if window.model ~= '*' then
    redis.call('SADD', KEYS[1], window.model)
    redis.call('EXPIRE', KEYS[1], KEEP_S)
  end
end
reply[1], reply[2] = answer, text(delay)
return reply
