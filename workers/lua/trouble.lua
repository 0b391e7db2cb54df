-- What a provider has against a key (bad key, no money), for the whole fleet. Twin of routing/trouble.py: strike, clear.
--
-- KEYS[1] hash, the trouble; missing: none
--     kind     the failure
--     print    fingerprint of the secret that was refused
--     strikes  times disabled without a success between
--     since    when it was disabled first (s)
--     until    it is left alone until then (s)
--
-- ARGV: 1 now (s; empty: this server's clock)   2 verb   3 the key's text   4 channel of the notices   5 fingerprint
--       6 for `strike`: the failure
--
-- Returns the notice (JSON, see jobs/gatekeys.py) of how it stands now; a change is published, too.

local DISABLE_S, MAX_DISABLE_S = 60, 900
local KEEP_S = 3600

local function text(number)
  return string.format('%.17g', number)
end

local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) + tonumber(time[2]) / 1e6
end
local stored = redis.call('HMGET', KEYS[1], 'kind', 'print', 'strikes', 'since', 'until')
local kind, print, strikes = stored[1], stored[2], tonumber(stored[3] or '0')
local since, disabled_until = tonumber(stored[4] or '0'), tonumber(stored[5] or '0')
local is_same = kind and print == ARGV[5]

local function notice()
  local told = {about = 'trouble', subject = ARGV[3], at_s = text(now), print = print or ARGV[5],
    strikes = text(strikes), since_s = text(since), until_s = text(disabled_until)}
  if kind then
    told.kind = kind
  end
  return cjson.encode(told)
end

if ARGV[2] == 'strike' then
  if not (is_same and now < disabled_until) then
    strikes = is_same and strikes + 1 or 1
    since = is_same and since or now
    kind, print = ARGV[6], ARGV[5]
    disabled_until = now + math.min(MAX_DISABLE_S, DISABLE_S * 2 ^ math.min(strikes - 1, 10))
    redis.call('HSET', KEYS[1], 'kind', kind, 'print', print, 'strikes', strikes, 'since', text(since),
      'until', text(disabled_until))
    redis.call('EXPIRE', KEYS[1], MAX_DISABLE_S + KEEP_S)
    redis.call('PUBLISH', ARGV[4], notice())
  end
elseif is_same then
  redis.call('DEL', KEYS[1])
  kind, print, strikes, since, disabled_until = false, ARGV[5], 0, 0, 0
  redis.call('PUBLISH', ARGV[4], notice())
end
return notice()
