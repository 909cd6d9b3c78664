-- Reads limits without touching them.
--
-- KEYS: a key for each limit, as in gcra.lua.
-- Returns the clock of this server in seconds since 1970, then what each key holds, or "".

local clock = redis.call("TIME")
local found = { clock[1] .. "." .. string.format("%06d", clock[2]) }

for place, key in ipairs(KEYS) do
  found[place + 1] = redis.call("GET", key) or ""
end

return found
