-- Moves the circuit of one provider: the decisions of circuit.py, on the clock of this server.
--
-- KEYS: the circuit, a hash of the fields of a Book.
-- ARGV: the fields of Rules in their order, then "allow", units, token
--                                          or "record", ok, failed, fatal (1 or 0), probe, luck
--                                          or "view".
-- Returns the units of the passage, its seconds to wait and its probe, the state that the circuit
-- was in, and then the book's state, since, reason and until.

local CLOSED, HALF_OPEN, OPEN = "closed", "half_open", "open"
local SLOTS, LONGEST, JITTER, PROBE_SECONDS = 10, 10, 0.25, 1
local KEPT_SECONDS = 86400

local clock = redis.call("TIME")
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1e6

local rules = {
  failure_ratio = tonumber(ARGV[1]),
  min_calls = tonumber(ARGV[2]),
  window = tonumber(ARGV[3]),
  open_for = tonumber(ARGV[4]),
  probe_for = tonumber(ARGV[5]),
}

local function read()
  local kept = redis.call(
    "HMGET", KEYS[1], "state", "since", "reason", "until", "trips", "probe", "window")
  return {
    state = kept[1] or CLOSED,
    since = tonumber(kept[2] or 0),
    reason = kept[3] or "",
    ["until"] = tonumber(kept[4] or 0),
    trips = tonumber(kept[5] or 0),
    probe = kept[6] or "",
    window = kept[7] or "",
  }
end

local function exactly(number)
  return string.format("%.17g", number)
end

local function write(book)
  redis.call(
    "HSET", KEYS[1], "state", book.state, "since", exactly(book.since), "reason", book.reason,
    "until", exactly(book["until"]), "trips", book.trips, "probe", book.probe,
    "window", book.window)
  local lasts = math.max(book["until"] - now, rules.window) + KEPT_SECONDS
  redis.call("EXPIRE", KEYS[1], math.ceil(lasts))
end

local function copy(book, changes)
  local new = {}
  for name, value in pairs(book) do
    new[name] = value
  end
  for name, value in pairs(changes) do
    new[name] = value
  end
  return new
end

local function open(book, reason, luck)
  local again = book.state == HALF_OPEN or now - book.since < rules.window
  local trips = again and math.min(book.trips + 1, LONGEST) or 1
  local seconds = rules.open_for * math.min(2 ^ (trips - 1), LONGEST) * (1 + JITTER * luck)
  return {
    state = OPEN, since = now, reason = reason, ["until"] = now + seconds, trips = trips,
    probe = "", window = "",
  }
end

local function count(book, calls, luck)
  local current = math.floor(now / (rules.window / SLOTS))
  local slots, ok_in, failed_in = {}, {}, {}
  for slot, ok, failed in string.gmatch(book.window, "(%d+):(%d+):(%d+)") do
    slot = tonumber(slot)
    if current - SLOTS < slot and slot <= current then
      slots[#slots + 1], ok_in[slot], failed_in[slot] = slot, tonumber(ok), tonumber(failed)
    end
  end
  if not ok_in[current] then
    slots[#slots + 1], ok_in[current], failed_in[current] = current, 0, 0
  end
  ok_in[current] = ok_in[current] + calls.ok
  failed_in[current] = failed_in[current] + calls.failed
  if calls.fatal then
    return open(book, "credentials", luck)
  end

  local all, failures, window = 0, 0, {}
  for _, slot in ipairs(slots) do
    all, failures = all + ok_in[slot] + failed_in[slot], failures + failed_in[slot]
    window[#window + 1] = string.format("%.0f:%.0f:%.0f", slot, ok_in[slot], failed_in[slot])
  end
  if all >= rules.min_calls and failures >= rules.failure_ratio * all then
    return open(book, "failures", luck)
  end
  return copy(book, { window = table.concat(window, " ") })
end

local function conclude(book, calls, luck)
  if calls.fatal or calls.failed > 0 then
    return open(book, calls.fatal and "credentials" or "failures", luck)
  end
  if calls.ok > 0 then
    return {
      state = CLOSED, since = now, reason = "", ["until"] = 0, trips = book.trips,
      probe = "", window = "",
    }
  end
  return copy(book, { ["until"] = now, probe = "" })
end

local function record(book, calls, probe, luck)
  if book.state == CLOSED then
    return count(book, calls, luck)
  end
  if probe ~= "" and probe == book.probe then
    return conclude(book, calls, luck)
  end
  return book
end

local function allow(book, units, token)
  if book.state == CLOSED then
    return units, 0, "", book
  end
  local left, longest = book["until"] - now, rules.open_for * LONGEST * (1 + JITTER)
  if book.state == HALF_OPEN then
    longest = rules.probe_for
  end
  if (0 < left and left <= longest) or units == 0 then
    if book.state == HALF_OPEN then
      left = math.min(left, PROBE_SECONDS)
    end
    return 0, math.max(0, left), "", book
  end
  local since = book.state == OPEN and now or book.since
  return 1, PROBE_SECONDS, token, copy(book, {
    state = HALF_OPEN, since = since, ["until"] = now + rules.probe_for, probe = token,
  })
end

local before = read()
local units, wait, probe, after = 0, 0, "", before
if ARGV[6] == "allow" then
  units, wait, probe, after = allow(before, tonumber(ARGV[7]), ARGV[8])
elseif ARGV[6] == "record" then
  local calls = { ok = tonumber(ARGV[7]), failed = tonumber(ARGV[8]), fatal = ARGV[9] == "1" }
  after = record(before, calls, ARGV[10], tonumber(ARGV[11]))
end
if after ~= before then
  write(after)
end
return {
  units, exactly(wait), probe, before.state,
  after.state, exactly(after.since), after.reason, exactly(after["until"]),
}
