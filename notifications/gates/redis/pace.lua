-- Reads an account's book, or replaces it if it still is as it was read; the decision is pace.py's.
--
-- KEYS: the key of the account. ARGV: nothing, or the book as it was read and as it is to be.
-- Returns this server's clock, in seconds since 1970, and the book as it is now.

local KEEP_SECONDS = 7200
local NEVER_SLOWED = "0.0 0.0 0.0 0"

local clock = redis.call("TIME")
local now = string.format("%.17g", tonumber(clock[1]) + tonumber(clock[2]) / 1e6)

local kept = redis.call("GET", KEYS[1]) or NEVER_SLOWED
if #ARGV == 2 and kept == ARGV[1] then
  kept = ARGV[2]
  redis.call("SET", KEYS[1], kept, "EX", KEEP_SECONDS)
end

return { now, kept }
