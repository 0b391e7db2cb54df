-- A model of a key, or the whole key, that its provider refuses, for the whole fleet. Twin of routing/closing.py: admit,
-- close, succeed, excuse.
--
-- KEYS[1] hash, the key's closings: model (* : the whole key) -> JSON, its latest notice (jobs/gatekeys.py) and
--     probe        id of the probe that is out; empty: none
--     probe_until  it is out until then at the latest (s)
--   One that opened stays for a while, without `kind`: a model that is missing here was never closed, or was lost.
--
-- ARGV: 1 now (s; empty: this server's clock)   2 verb   3 the key's text   4 channel of the notices
--       5 the model   6 fingerprint of the secret, then for the verb
--       admit:   7 id that a probe would have   8 its lease (s)
--       close:   7 what the provider said   8 for how long (s; empty: it named no time)   9 id of the probe, or empty
--       succeed: 7 id of the probe
--       excuse:  7 id of the probe
--       again:   7 what the provider said   8 strikes   9 since how long   10 until when, 11 tried when (s from now):
--                what a worker knows and this server lost; what is known here stands
--
-- Returns {'heard' | 'pass' | 'probe' | 'closed', delay in s as text, notice}. The notice tells how it stands now; a
-- change is published, too.

local MAX_CLOSE_S, TRY_EVERY_S, UNNAMED_S, MAX_UNNAMED_S = 7 * 86400, 900, 1, 60
local DISABLE_S, MAX_DISABLE_S = 60, 900
local PROBE_POLL_S, KEEP_S = 5, 600
local SWEEP_AT, MOST = 64, 512

local function text(number)
  return string.format('%.17g', number)
end

local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) + tonumber(time[2]) / 1e6
end
local verb, model, print = ARGV[2], ARGV[5], ARGV[6]

local function read(raw)
  local told = cjson.decode(raw)
  for _, name in ipairs({'at_s', 'strikes', 'since_s', 'until_s', 'try_at_s', 'probe_until'}) do
    told[name] = tonumber(told[name])
  end
  return told
end

local function is_over(told)
  local ended = told.kind and math.max(told.until_s, told.probe_until) or told.at_s
  return now >= ended + KEEP_S
end

local function written(told)
  local notice = {about = 'closing', subject = ARGV[3], model = model, at_s = text(now), print = told.print or print,
    strikes = text(told.strikes or 0), since_s = text(told.since_s or 0), until_s = text(told.until_s or 0),
    try_at_s = text(told.try_at_s or 0), probe = told.probe or '', probe_until = text(told.probe_until or 0)}
  notice.kind = told.kind
  return cjson.encode(notice)
end

-- Whether there is room for one more; what was over long ago is dropped then.
local function has_room()
  if redis.call('HLEN', KEYS[1]) < SWEEP_AT or redis.call('HEXISTS', KEYS[1], model) == 1 then
    return true
  end
  local all = redis.call('HGETALL', KEYS[1])
  for place = 1, #all, 2 do
    if is_over(read(all[place + 1])) then
      redis.call('HDEL', KEYS[1], all[place])
    end
  end
  return redis.call('HLEN', KEYS[1]) < MOST
end

local function keep(told, is_news)
  local notice = written(told)
  if has_room() then
    redis.call('HSET', KEYS[1], model, notice)
    local life = math.ceil(math.max(told.until_s or 0, told.probe_until or 0, now) - now) + KEEP_S
    redis.call('EXPIRE', KEYS[1], math.max(life, redis.call('TTL', KEYS[1])))
  end
  if is_news then
    redis.call('PUBLISH', ARGV[4], notice)
  end
  return notice
end

local stored = redis.call('HGET', KEYS[1], model)
local known = stored and read(stored)
if known and (not known.kind or is_over(known)) then
  known = nil
end
local is_mine = known and known.print == print

local function is_out(probe)
  return is_mine and probe ~= '' and known.probe == probe
end

local function rest_time(kind, asked, strikes)
  local doubled = 2 ^ math.min(strikes - 1, 10)
  if kind ~= 'rate_limited' then
    return math.min(MAX_DISABLE_S, DISABLE_S * doubled)
  end
  return asked and math.min(asked, MAX_CLOSE_S) or math.min(MAX_UNNAMED_S, UNNAMED_S * doubled)
end

local function close()
  local kind, asked = ARGV[7], tonumber(ARGV[8])
  if kind ~= 'rate_limited' or (asked and not (asked > 0)) then
    asked = nil
  end
  if not is_mine then
    local rest = rest_time(kind, asked, 1)
    return {kind = kind, print = print, strikes = 1, since_s = now, until_s = now + rest,
      try_at_s = now + math.min(rest, TRY_EVERY_S)}
  elseif not is_out(ARGV[9]) then
    if asked then
      local rest = rest_time(kind, asked, known.strikes)
      known.until_s = math.max(known.until_s, now + rest)
      known.try_at_s = math.max(known.try_at_s, now + math.min(rest, TRY_EVERY_S))
    end
    return known
  end
  local strikes = known.strikes + 1
  local ending = now + rest_time(kind, asked, strikes)
  if not asked then
    ending = math.max(ending, known.until_s)
  end
  return {kind = kind, print = print, strikes = strikes, since_s = known.since_s, until_s = ending,
    try_at_s = now + math.min(ending - now, TRY_EVERY_S)}
end

local answer, delay, notice = 'heard', 0, nil
if verb == 'close' then
  notice = keep(close(), true)
elseif verb == 'succeed' then
  if is_out(ARGV[7]) then
    known = nil
    notice = keep({}, true)
  end
elseif verb == 'excuse' then
  if is_out(ARGV[7]) then
    known.probe, known.probe_until = '', 0
    keep(known, false)
  end
elseif verb == 'again' then
  if not stored then
    known = {kind = ARGV[7], print = print, strikes = tonumber(ARGV[8]), since_s = now - tonumber(ARGV[9]),
      until_s = now + tonumber(ARGV[10]), try_at_s = now + tonumber(ARGV[11])}
    notice = keep(known, true)
  end
elseif not is_mine then
  answer = 'pass'
elseif now < known.try_at_s then
  answer, delay = 'closed', known.try_at_s - now
elseif now < known.probe_until then
  answer, delay = 'closed', math.min(PROBE_POLL_S, known.probe_until - now)
else
  answer, known.probe, known.probe_until = 'probe', ARGV[7], now + tonumber(ARGV[8])
  keep(known, false)
end
return {answer, text(delay), notice or written(known or {})}
