-- The state and the rule of each kind of limit: states.py, name by name.
-- A limit is one packed string: a header, and for windows a ring of u32. A call loads what it needs by one MGET and writes what changed by one MSET.

local NEVER, FOREVER = -1, 2 ^ 50
local WINDOW, CONCURRENCY, BUDGET = 1, 3, 4
local HEADER, HEADER_BYTES = '<BBBBBdddddddddd', 85
local limits, dirty = {}, {}

local function slice_at(l, at_ms) return math.floor(at_ms * l.slices / l.window_ms) end

local function slot(l, number)
  local place = number % l.ring
  local changed = l.changed[place]
  if changed then return changed end
  return (struct.unpack('<I4', l.raw, HEADER_BYTES + 1 + place * 4))
end

local function touch(l)
  if not l.dirty then l.dirty = true; dirty[#dirty + 1] = l end
end

local formats, zeros = {}, {}
local function numbers_from(raw, place, count)
  if not formats[count] then formats[count] = '<' .. string.rep('I4', count) end
  return {struct.unpack(formats[count], raw, HEADER_BYTES + 1 + place * 4)}
end

-- Empty the slots of these places of a limit that this call has not changed.
local function clear_slots(l, from, to)
  local count, before, behind = to - from + 1, HEADER_BYTES + from * 4, HEADER_BYTES + 1 + (to + 1) * 4
  if not zeros[count] then zeros[count] = string.rep('\0', count * 4) end
  if string.sub(l.raw, before + 1, behind - 1) == zeros[count] then return end
  local amounts = numbers_from(l.raw, from, count)
  for i = 1, count do l.total = l.total - amounts[i] end
  l.raw = string.sub(l.raw, 1, before) .. zeros[count] .. string.sub(l.raw, behind)
end

local function advance(l)
  local current = slice_at(l, now)
  if current - l.head >= l.ring then
    l.raw = string.sub(l.raw, 1, HEADER_BYTES) .. string.rep('\0', l.ring * 4)
    l.changed, l.total = {}, 0
  elseif l.total > 0 and current > l.head then
    local from, to = (l.head + 1) % l.ring, current % l.ring
    if from <= to then clear_slots(l, from, to) else clear_slots(l, from, l.ring - 1); clear_slots(l, 0, to) end
  end
  if current > l.head then l.head = current end
end

local function unpack_limit(id, raw)
  local kind, level, metric, gives_back, has_parked, amount, window_ms, slices, ring, burst, total, head, pace_us, opens_at, reserved =
    struct.unpack(HEADER, raw)
  local l = {id = id, raw = raw, changed = {}, kind = kind, level = level, metric = metric, gives_back = gives_back, has_parked = has_parked,
    amount = amount, window_ms = window_ms, slices = slices, ring = ring, burst = burst, total = total, head = head, pace_us = pace_us,
    opens_at = opens_at, reserved = reserved}
  if l.kind == WINDOW then advance(l) end
  return l
end

local function load_limits(ids)
  local missing, keys = {}, {}
  for i = 1, #ids do
    if limits[ids[i]] == nil then
      missing[#missing + 1] = ids[i]; keys[#keys + 1] = P .. K.limit .. ids[i]
      limits[ids[i]] = false
    end
  end
  for from = 1, #keys, 2000 do
    local raws = call('MGET', unpack(keys, from, math.min(from + 1999, #keys)))
    for i = 1, #raws do
      local id = missing[from + i - 1]
      if raws[i] then limits[id] = unpack_limit(id, raws[i]) end
    end
  end
end

local function limit_of(id)
  if limits[id] == nil then load_limits({id}) end
  return limits[id]
end

-- Put the changed slots, and a new header if one is given, into the packed limit.
local function fold(l, header)
  local places = {}
  for place in pairs(l.changed) do places[#places + 1] = place end
  if #places == 0 and not header then return end
  if #places > 1 then table.sort(places) end
  local pieces, at = {header or string.sub(l.raw, 1, HEADER_BYTES)}, HEADER_BYTES + 1
  for i = 1, #places do
    local offset = HEADER_BYTES + 1 + places[i] * 4
    if offset > at then pieces[#pieces + 1] = string.sub(l.raw, at, offset - 1) end
    pieces[#pieces + 1] = struct.pack('<I4', l.changed[places[i]])
    at = offset + 4
  end
  pieces[#pieces + 1] = string.sub(l.raw, at)
  l.raw, l.changed = table.concat(pieces), {}
end

local function pack_limit(l)
  local header = struct.pack(HEADER, l.kind, l.level, l.metric, l.gives_back, l.has_parked, l.amount, l.window_ms, l.slices, l.ring, l.burst, l.total,
    l.head, l.pace_us, l.opens_at, l.reserved)
  if l.kind ~= WINDOW then return header end
  fold(l, header)
  return l.raw
end

local function flush_limits()
  if #dirty == 0 then return end
  local pairs_ = {}
  for i = 1, #dirty do
    pairs_[#pairs_ + 1] = P .. K.limit .. dirty[i].id
    pairs_[#pairs_ + 1] = pack_limit(dirty[i])
  end
  for from = 1, #pairs_, 2000 do call('MSET', unpack(pairs_, from, math.min(from + 1999, #pairs_))) end
end

local function pace_of(l, amount) return math.ceil(amount * (l.window_ms * 1000 / l.amount)) end

local function room_ms(l, amount)
  local over = l.total + amount - l.amount
  if over <= 0 then return 0 end
  fold(l)
  local freed, amounts = 0, numbers_from(l.raw, 0, l.ring)
  for number = l.head - l.ring + 1, l.head do
    freed = freed + amounts[number % l.ring + 1]
    if freed >= over then return math.max(1, math.ceil((number + l.ring) * l.window_ms / l.slices) - now) end
  end
  return l.window_ms
end

local function pace_ms(l, amount)
  if l.burst == 1000 then return 0 end
  local burst_us = l.window_ms * l.burst
  local ahead_us = math.max(l.pace_us, now * 1000) - now * 1000 + math.min(pace_of(l, amount), burst_us)
  return math.max(0, math.ceil((ahead_us - burst_us) / 1000))
end

local function wait_ms(l, amount)
  if l.kind == BUDGET then
    if l.total + amount <= l.amount then return 0 end
    if l.total - l.reserved + amount > l.amount then return NEVER end
    return FOREVER
  end
  if amount > l.amount then return NEVER end
  if l.kind == CONCURRENCY then
    if l.total + amount <= l.amount then return 0 end
    return FOREVER
  end
  return math.max(room_ms(l, amount), pace_ms(l, amount))
end

local function take(l, amount)
  l.total = l.total + amount
  if l.kind == WINDOW then
    l.changed[l.head % l.ring] = slot(l, l.head) + amount
    if l.burst < 1000 then l.pace_us = math.max(l.pace_us, now * 1000) + pace_of(l, amount) end
  elseif l.kind == BUDGET then
    l.reserved = l.reserved + amount
  end
  touch(l)
end

local function add_to_slice(l, number, amount)
  if number <= l.head - l.ring then return end
  local held = slot(l, number)
  local change = math.max(amount, -held)
  l.changed[number % l.ring] = held + change
  l.total = l.total + change
  touch(l)
end

local function recall(l, amount, at_ms)
  if l.kind == WINDOW then
    add_to_slice(l, math.min(l.head, slice_at(l, at_ms)), amount)
  else
    l.total = l.total + amount; touch(l)
  end
end

local function move(l, amount, from_ms, to_ms)
  if l.kind ~= WINDOW then return end
  local old, new = slice_at(l, from_ms), math.min(l.head, slice_at(l, to_ms))
  if new > old then
    add_to_slice(l, old, -amount)
    add_to_slice(l, new, amount)
  end
end

local function adjust(l, reserved, actual, charged_ms)
  if l.kind == WINDOW then
    add_to_slice(l, slice_at(l, charged_ms), actual - reserved)
    if actual < reserved and l.burst < 1000 then l.pace_us = l.pace_us - pace_of(l, reserved - actual) end
  elseif l.kind == CONCURRENCY then
    l.total = math.max(0, l.total - reserved)
  else
    l.reserved = math.max(0, l.reserved - reserved)
    l.total = l.total + actual - reserved
  end
  touch(l)
end

local function new_limit(record)
  local l = {changed = {}, total = 0, head = 0, pace_us = 0, opens_at = 0, reserved = 0, has_parked = 0}
  l.id, l.kind, l.metric, l.amount, l.level, l.window_ms, l.burst, l.gives_back, l.slices, l.ring = unpack(record)
  l.raw = string.rep('\0', HEADER_BYTES + l.ring * 4)
  if l.kind == WINDOW then advance(l) end
  return l
end

local function edited(old, record)
  local new = new_limit(record)
  if old.kind == WINDOW and new.kind == WINDOW then
    new.pace_us = old.pace_us
    for number = old.head - old.ring + 1, old.head do
      local amount = slot(old, number)
      -- a charge of an old slice can have come in that slice's last millisecond
      if amount > 0 then recall(new, amount, math.ceil((number + 1) * old.window_ms / old.slices) - 1) end
    end
  elseif old.kind == new.kind then
    new.total, new.reserved = old.total, old.reserved
  end
  new.has_parked = old.has_parked
  return new
end

local REQUESTS, TOKENS, INPUT_TOKENS, OUTPUT_TOKENS, PLACES, COST, PROVIDER_TOKENS = 1, 2, 3, 4, 5, 6, 7

-- The amount of one metric that a need {input, output, max_output, cost} takes.
local function need_of(metric, need)
  if metric == PROVIDER_TOKENS then return need.input + need.max_output end
  if metric == REQUESTS or metric == PLACES then return 1 end
  if metric == TOKENS then return need.input + need.output end
  if metric == INPUT_TOKENS then return need.input end
  if metric == OUTPUT_TOKENS then return need.output end
  return need.cost
end
