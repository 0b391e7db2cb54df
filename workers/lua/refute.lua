-- Fields that deployments answered with 400, for the whole fleet: each is taken for missing there until its time is up.
--
-- KEYS[1] hash, deployment and field (jobs/gatekeys.py, `refuted_text`) -> JSON of jobs/gatekeys.py, `Refuted`
--
-- ARGV: 1 now (s; empty: this server's clock)   2 deployment and field   3 the provider's code, empty: none
--       4 for how long it holds (s)
--
-- Returns nothing. Fields whose time is up are taken out.

local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) + tonumber(time[2]) / 1e6
end
local known = redis.call('HGETALL', KEYS[1])
for place = 1, #known, 2 do
  if tonumber(cjson.decode(known[place + 1]).until_s) <= now then
    redis.call('HDEL', KEYS[1], known[place])
  end
end
local told = {since_s = string.format('%.17g', now), until_s = string.format('%.17g', now + tonumber(ARGV[4]))}
if ARGV[3] ~= '' then
  told.code = ARGV[3]
end
redis.call('HSET', KEYS[1], ARGV[2], cjson.encode(told))
redis.call('EXPIRE', KEYS[1], math.ceil(2 * tonumber(ARGV[4])))
