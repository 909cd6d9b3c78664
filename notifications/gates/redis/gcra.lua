-- Answers several wants in one step: the arithmetic of gcra.py, on the clock of this server.
--
-- KEYS: a key for each limit, holding its theoretical arrival time in seconds since 1970.
-- ARGV: for each want its units and the number of its limits, then for each of these the place
--       of its key in KEYS, its rate and its burst.
-- Returns for each want the units granted, which of its limits holds up the rest, counted from
-- 1, or 0 for none, and the seconds until that has one more.
--
-- Numbers travel as text of 17 digits, which is every bit of them.

local TICK = 1e-4

local clock = redis.call("TIME")
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1e6

local arrivals, before = {}, {}
for place, key in ipairs(KEYS) do
  arrivals[place] = tonumber(redis.call("GET", key) or 0)
  before[place] = arrivals[place]
end

local function arrival(limit)
  return math.min(math.max(arrivals[limit.place], now), now + limit.burst / limit.rate)
end

local function available(limit)
  local ahead = math.max(0, arrival(limit) - now - TICK)
  return math.max(0, math.floor(limit.burst - ahead * limit.rate))
end

local function wait(limit)
  return math.max(0, arrival(limit) - now - (limit.burst - 1) / limit.rate)
end

local function held_up(limits)
  local longest, place = -1, 0
  for index, limit in ipairs(limits) do
    if wait(limit) > longest then
      longest, place = wait(limit), index
    end
  end
  return place, string.format("%.17g", longest)
end

local function take(wanted, limits)
  local units = wanted
  for _, limit in ipairs(limits) do
    units = math.min(units, available(limit))
  end
  if units > 0 then
    for _, limit in ipairs(limits) do
      arrivals[limit.place] = arrival(limit) + units / limit.rate
    end
  end
  if units == wanted then
    return units, 0, "0"
  end
  return units, held_up(limits)
end

local position = 0
local function argument()
  position = position + 1
  return tonumber(ARGV[position])
end

local answers = {}
while position < #ARGV do
  local wanted, count, limits = argument(), argument(), {}
  for index = 1, count do
    limits[index] = { place = argument(), rate = argument(), burst = argument() }
  end
  answers[#answers + 1] = { take(wanted, limits) }
end

for place, key in ipairs(KEYS) do
  if arrivals[place] ~= before[place] then
    -- Once its time has come, a limit is as good as never used.
    local milliseconds = math.max(1, math.ceil((arrivals[place] - now) * 1000))
    redis.call("SET", key, string.format("%.17g", arrivals[place]), "PX", milliseconds)
  end
end

return answers
