-- A provider's or deployment's breaker for the whole fleet. Twin of routing/breaker.py: admit, count, end_probe, excuse.
--
-- KEYS[1] hash, the breaker:
--     slots        the window: start (s):calls:failures; ... oldest first. Of an open one: what opened it
--     consecutive  failures in a row
--     tripped      1: open or half open; since: when it opened after having been closed (s)
--     until        it is open until then (s); stays after closing
--     trips        times opened without a quiet spell between
--     probe        id of the probe that is out; probe_until: at the latest until then (s); probes: sent this interval
-- KEYS[2] sorted set, every breaker's subject -> when something was last reported (s)
-- KEYS[3] hash, subject of each tripped breaker -> its latest notice
--
-- ARGV: 1 now (s; empty: this server's clock)   2 verb   3 subject   4 channel of the notices, then for the verb
--       count:   5 successes, which came before   6 failures   7 chance (0..1)
--       admit:   5 id that a probe would have   6 its lease (s)
--       end:     5 id of the probe   6 failed (1 or 0)   7 chance (0..1)
--       excuse:  5 id of the probe   6 made (1 or 0)
--
-- Returns {'counted' | 'pass' | 'probe' | 'breaker', delay in s as text, notice or ''}. The notice (JSON, see
-- jobs/gatekeys.py) tells of a breaker that is tripped now, or was closed by this call; a change is published, too.

local SLOT_S, WINDOW_S, MIN_CALLS, FAILURE_RATIO, CONSECUTIVE = 3, 30, 20, 0.5, 5
local OPEN_S, MAX_OPEN_S, JITTER, PROBE_POLL_S, PROBES = 15, 300, 0.2, 2, 3
local KEEP_S = 3600

local function text(number)
  return string.format('%.17g', number)
end

local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) + tonumber(time[2]) / 1e6
end
local verb, subject = ARGV[2], ARGV[3]

local stored = redis.call('HMGET', KEYS[1], 'slots', 'consecutive', 'tripped', 'since', 'until', 'trips', 'probe',
  'probe_until', 'probes')
local slots, consecutive, tripped = {}, tonumber(stored[2] or '0'), stored[3] == '1'
local since, open_until, trips = tonumber(stored[4] or '0'), tonumber(stored[5] or '0'), tonumber(stored[6] or '0')
local probe, probe_until, probes = stored[7] or '', tonumber(stored[8] or '0'), tonumber(stored[9] or '0')
for start, calls, failures in string.gmatch(stored[1] or '', '([^:;]+):(%d+):(%d+);') do
  slots[#slots + 1] = {tonumber(start), tonumber(calls), tonumber(failures)}
end

local function notice()
  return cjson.encode({about = 'breaker', subject = subject, at_s = text(now), is_tripped = tripped and '1' or '0',
    until_s = text(open_until), trips = text(trips), since_s = text(since)})
end

local function keep(is_news)
  local parts = {}
  for place, slot in ipairs(slots) do
    parts[place] = text(slot[1]) .. ':' .. string.format('%d:%d;', slot[2], slot[3])
  end
  redis.call('HSET', KEYS[1], 'slots', table.concat(parts), 'consecutive', consecutive, 'tripped', tripped and 1 or 0,
    'since', text(since), 'until', text(open_until), 'trips', trips, 'probe', probe, 'probe_until', text(probe_until),
    'probes', probes)
  redis.call('EXPIRE', KEYS[1], KEEP_S)
  redis.call('ZADD', KEYS[2], text(now), subject)
  redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', text(now - KEEP_S))
  redis.call('EXPIRE', KEYS[2], KEEP_S)
  if is_news then
    if tripped then
      redis.call('HSET', KEYS[3], subject, notice())
      redis.call('EXPIRE', KEYS[3], KEEP_S)
    else
      redis.call('HDEL', KEYS[3], subject)
    end
    redis.call('PUBLISH', ARGV[4], notice())
  end
end

local function open_time()
  return math.min(MAX_OPEN_S, OPEN_S * 2 ^ math.min(trips - 1, 10))
end

local function trip(chance)
  if now - open_until > MAX_OPEN_S then
    trips = 1
  else
    trips = trips + 1
  end
  since = tripped and since or now
  open_until = now + open_time() * (1 - JITTER * chance)
  tripped, consecutive, probe, probe_until, probes = true, 0, '', 0, 0
end

local function reset()
  slots, consecutive, tripped, since, probe, probe_until, probes = {}, 0, false, 0, '', 0, 0
end

local function is_sick()
  if consecutive >= CONSECUTIVE then
    return true
  end
  local calls, failures = 0, 0
  for _, slot in ipairs(slots) do
    calls, failures = calls + slot[2], failures + slot[3]
  end
  return calls >= MIN_CALLS and failures >= FAILURE_RATIO * calls
end

local function count(successes, failures)
  local last = slots[#slots]
  if last and now < last[1] + SLOT_S then
    last[2], last[3] = last[2] + successes + failures, last[3] + failures
  else
    local kept = {}
    for _, slot in ipairs(slots) do
      if slot[1] + SLOT_S > now - WINDOW_S then
        kept[#kept + 1] = slot
      end
    end
    kept[#kept + 1] = {now, successes + failures, failures}
    slots = kept
  end
  consecutive = successes > 0 and failures or consecutive + failures
end

local is_out = tripped and probe ~= '' and ARGV[5] == probe
local answer, delay, was_tripped = 'counted', 0, tripped
if verb == 'count' then
  local successes, failures = tonumber(ARGV[5]), tonumber(ARGV[6])
  if not tripped and successes + failures > 0 then
    count(successes, failures)
    if failures > 0 and is_sick() then
      trip(tonumber(ARGV[7]))
    end
    keep(tripped)
  end
elseif verb == 'end' then
  if is_out then
    if ARGV[6] == '1' then
      trip(tonumber(ARGV[7]))
    else
      reset()
    end
    keep(true)
  end
elseif verb == 'excuse' then
  if is_out then
    probe, probe_until = '', 0
    probes = ARGV[6] == '1' and probes or probes - 1
    keep(false)
  end
elseif not tripped then
  answer = 'pass'
  redis.call('HDEL', KEYS[3], subject)  -- its hash may have expired before the list of the tripped ones
elseif now < open_until then
  answer, delay = 'breaker', open_until - now
elseif now < probe_until then
  answer, delay = 'breaker', math.min(PROBE_POLL_S, probe_until - now)
elseif probes >= PROBES then
  answer, delay = 'breaker', open_time()
  open_until, probe, probe_until, probes = now + delay, '', 0, 0
  keep(true)
else
  answer, probe, probe_until, probes = 'probe', ARGV[5], now + tonumber(ARGV[6]), probes + 1
  keep(false)
end
return {answer, text(delay), (tripped or was_tripped) and notice() or ''}
