-- Tells how far limits are used up, and changes nothing.
--
-- KEYS: a key for each limit, holding its theoretical arrival time in seconds since 1970.
-- Returns the clock of this server, then the arrival time of each, 0 for one never used.

local clock = redis.call("TIME")
local told = { string.format("%.17g", tonumber(clock[1]) + tonumber(clock[2]) / 1e6) }
for place, key in ipairs(KEYS) do
  told[place + 1] = redis.call("GET", key) or "0"
end
return told
