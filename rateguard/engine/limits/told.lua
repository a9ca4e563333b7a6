-- What is known of a provider's limit beside the amount that people set: told.py, name by name; and the parts of timed.py that change by it.
-- It stands in a limit's state as `told`, {read_ms, told, told_until_ms, foreign, foreign_until_ms, learned, learned_ms, cut_ms}, and `amount`,
-- what the limit is now, beside it. A limit of which nothing is known has neither a table nor these bytes.

local TOLD_FOR_MS, STEP, CUT, FULL = 300000, 2500, 750, 900
local WINDOW, BUCKET = 1, 2
local FORMAT, BYTES = '<dddddddd', 64

local function pace_of(l, amount) return math.ceil(amount * (l.record.window_ms * 1000 / l.amount)) end

-- What the limit can be at most: what people set, or what the provider tells.
local function bound_of(l)
  local known = l.told
  if known and known.told > 0 then return math.min(l.record.amount, known.told) end
  return l.record.amount
end

-- The amount is another since `at_ms`: what is missing in a bucket stays missing, and flows in faster or slower.
local function recast(l, at_ms)
  local was = l.amount
  l.amount = bound_of(l)
  if l.told.learned > 0 then l.amount = math.min(l.amount, l.told.learned) end
  local ahead_us = l.pace_us - at_ms * 1000
  if l.kind == BUCKET and l.amount ~= was and ahead_us > 0 then
    l.pace_us = at_ms * 1000 + pace_of(l, ahead_us * (was / (l.record.window_ms * 1000)))
  end
end

local function expire(known)
  if known.told_until_ms <= now then known.told = 0 end
  if known.foreign_until_ms <= now then known.foreign = 0 end
end

-- What is known of a limit in the beginning: nothing, but where to start from if it is to be learned.
local function first_told(r)
  return {read_ms = 0, told = 0, told_until_ms = 0, foreign = 0, foreign_until_ms = 0, learned = r.learns_from, learned_ms = 0, cut_ms = 0}
end

-- Of a state that was read: `at` is where its bytes are, nil where it has none.
local function load_told(l, raw, at)
  if at then
    local k = {}
    k.read_ms, k.told, k.told_until_ms, k.foreign, k.foreign_until_ms, k.learned, k.learned_ms, k.cut_ms = struct.unpack(FORMAT, raw, at)
    l.told = k
  else
    l.told = first_told(l.record)
  end
  -- as it was written; then what is over since
  l.amount = bound_of(l)
  if l.told.learned > 0 then l.amount = math.min(l.amount, l.told.learned) end
  local until_ms = l.told.told_until_ms
  expire(l.told)
  recast(l, math.min(now, until_ms))
end

local function pack_told(k)
  return struct.pack(FORMAT, k.read_ms, k.told, k.told_until_ms, k.foreign, k.foreign_until_ms, k.learned, k.learned_ms, k.cut_ms)
end

-- What is known of an edited limit, for its new state.
local function carry(old, new)
  local r = new.record
  if not old.told or r.window_ms == 0 then return end
  new.told = {}
  for name, value in pairs(old.told) do new.told[name] = value end
  new.told.learned = 0
  if r.learns_from > 0 then
    local learned = old.told.learned > 0 and old.told.learned or r.learns_from
    new.told.learned = math.max(r.learns_floor, math.min(learned, r.amount))
  end
  new.amount = bound_of(new)
  if new.told.learned > 0 then new.amount = math.min(new.amount, new.told.learned) end
end

-- The most of our use that a provider can have counted so long ago; nil where nobody knows any more.
local function ours_at(l, ago_ms)
  local r = l.record
  if l.kind == WINDOW then
    if ago_ms * r.slices <= (r.ring - 1 - r.slices) * r.window_ms then return l.total end
    return nil
  end
  local taken = math.max(0, l.pace_us - now * 1000) * (l.amount / (r.window_ms * 1000))
  return math.ceil(taken + ago_ms * (l.amount / r.window_ms))
end

-- An answer tells of the limit; -1: it does not tell that. Returns whether there may be more room than before.
local function read(l, told, remaining, reset_ms, ago_ms)
  local r, at_ms, ours = l.record, now - ago_ms, ours_at(l, ago_ms)
  l.told = l.told or first_told(r)
  local k, was, others = l.told, l.amount, l.told.foreign
  if at_ms >= k.read_ms then
    k.read_ms = at_ms
    if told > 0 then k.told, k.told_until_ms = told, at_ms + TOLD_FOR_MS end
    local whole = told > 0 and told or (r.learns_from > 0 and 0 or r.amount)
    if ours and whole > 0 and remaining >= 0 then
      k.foreign = math.max(0, whole - remaining - ours)
      k.foreign_until_ms = at_ms + (reset_ms >= 0 and reset_ms or r.window_ms)
    end
    expire(k)
  end
  recast(l, now)
  return l.amount > was or k.foreign < others
end

-- An attempt that was charged to it ended. used: of the limit. Returns whether there may be more room than before.
local function learn(l, is_limited, used)
  local r, k, was = l.record, l.told, l.amount
  local is_full = (used + k.foreign) * 1000 >= l.amount * FULL
  if is_limited and now >= k.cut_ms + r.window_ms then
    k.learned = math.max(r.learns_floor, math.floor(k.learned * CUT / 1000))
    k.learned_ms, k.cut_ms = now, now
  elseif is_full and not is_limited and now >= k.learned_ms + r.window_ms then
    local step = math.max(1, math.floor(r.learns_floor * STEP / 1000))
    k.learned = math.max(k.learned, math.min(bound_of(l), k.learned + step))
    k.learned_ms = now
  end
  recast(l, now)
  return l.amount > was
end

return {
  BYTES = BYTES, load = load_told, pack = pack_told, carry = carry, read = read, learn = learn, bound_of = bound_of, pace_of = pace_of,
}
