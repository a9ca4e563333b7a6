-- The state and the rule of each kind of limit: states.py and table.py, name by name.
-- A limit is one packed string: what is used of it, what it is, and for windows the few slots that are not zero; a call loads those that it
-- needs by one MGET and writes what changed by one MSET. A busy window has a ring of u32 beside it instead, of which the string holds the
-- head's slot: the ring is read and written only when the head moves on, or when something older changes.
-- A limit that a node has by a default holds only what is used; what it is is the default's, which this interpreter keeps between calls.

local NEVER, DOWNGRADE, FOREVER = -1, -2, 2 ^ 50
local WINDOW, BUCKET, CONCURRENCY, BUDGET, PAUSE = 1, 2, 3, 4, 5
local REJECT, HOLD, DOWNGRADES = 0, 1, 2
local HEADER, HEADER_BYTES = '<Bddddd', 41
local RECORD, RECORD_BYTES = '<BBBBBHBddHHH', 30
local SLOT_BYTES, MOST_SLOTS, MOST_PIECES, SWEEP = 6, 16, 4, 200
local SECOND_MS, MINUTE_MS, HOUR_MS = 1000, 60000, 3600000

local loaded, dirty, births -- this call's states by id; those to write; by tenant, the default states that come to life
fresh(function() loaded, dirty, births = {}, {}, {} end)

-- ---- records: what a limit is

-- Of a budget, periods and thresholds follow at the end of the string. With room for the fields of a state: a table that grows costs more.
local function record_of(raw, at)
  local kind, metric, level, gives_back, reserve_lane, reserve, on_exhausted, amount, window_ms, burst, slices, ring =
    struct.unpack(RECORD, raw, at)
  local r = {kind = kind, metric = metric, level = level, gives_back = gives_back, reserve_lane = reserve_lane, reserve = reserve,
    on_exhausted = on_exhausted, amount = amount, window_ms = window_ms, burst = burst, slices = slices, ring = ring, id = false, record = false,
    changed = false, exists = false, total = 0, head = 0, pace_us = 0, opens_at = 0, aside = 0, has_parked = 0, has_ring = false, written = 0,
    dirty = false, raw = false}
  if kind == BUDGET then
    local tail = cmsgpack.unpack(string.sub(raw, at + RECORD_BYTES))
    r.periods, r.thresholds = tail[1], tail[2]
  end
  return r
end

local function record_id(id) return string.match(id, '^[^@]+') end

-- The records of defaults, by id.
local function load_defaults(ids)
  local missing, keys = {}, {}
  for i = 1, #ids do
    if cached.records[ids[i]] == nil then
      missing[#missing + 1] = ids[i]; keys[#keys + 1] = P .. K.record .. ids[i]
      cached.records[ids[i]] = false
    end
  end
  if #keys == 0 then return end
  local raws = call('MGET', unpack(keys))
  for i = 1, #raws do
    if raws[i] then cached.records[missing[i]] = record_of(raws[i], 1) end
  end
  cached.size = cached.size + #missing
end

-- What a lane may use of the amount; of a bucket, of its capacity.
local function amount_for(r, lane)
  local most = r.amount
  if r.kind == BUCKET then most = math.floor(most * r.burst / 1000) end
  if r.reserve == 0 or lane <= r.reserve_lane then return most end
  return most - math.floor(most * r.reserve / 1000)
end

local function pace_of(r, amount) return math.ceil(amount * (r.window_ms * 1000 / r.amount)) end

-- ---- states: total, head (of a budget: when its period began), pace_us (of a budget: the highest threshold noticed), opens_at,
-- aside (of a budget: what is reserved; of a window: what counts in the head's slot)

local function slice_at(r, at_ms) return math.floor(at_ms * r.slices / r.window_ms) end

local formats, zeros = {}, {}
local function zeros_of(count)
  if not zeros[count] then
    zeros[count] = string.rep('\0', count * 4)
    formats[count] = '<' .. string.rep('I4', count)
  end
  return zeros[count]
end

-- The ring as it was written, padded: behind what was written it is zero.
local function ring_raw(l)
  if not l.raw then
    local raw, size = call('GET', P .. K.ring .. l.id) or '', l.record.ring * 4
    l.raw = string.len(raw) < size and raw .. string.sub(zeros_of(l.record.ring), string.len(raw) + 1) or raw
  end
  return l.raw
end

-- What counts in a slice of the window. Of a ring, slots from the head that was written up to the new one are zero until this call changes them.
local function slot(l, number)
  if number == l.head then return l.aside end
  local changed = l.changed[number % l.record.ring]
  if changed then return changed end
  if not l.has_ring or number >= l.written or l.total == l.aside then return 0 end
  return (struct.unpack('<I4', ring_raw(l), 1 + number % l.record.ring * 4))
end

local function set_slot(l, number, amount)
  if number == l.head then l.aside = amount else l.changed[number % l.record.ring] = amount end
end

-- What leaves the window while the head goes on, from one place of the ring to another.
local function sum_of_places(l, from, to)
  local raw = call('GETRANGE', P .. K.ring .. l.id, from * 4, to * 4 + 3)
  local count = math.floor(string.len(raw) / 4)
  if raw == string.sub(zeros_of(to - from + 1), 1, count * 4) then return 0 end
  zeros_of(count)
  local amounts, sum = {struct.unpack(formats[count], raw)}, 0
  for i = 1, count do sum = sum + amounts[i] end
  return sum
end

local function advance_ring(l, current)
  local r = l.record
  if current - l.head >= r.ring then
    l.total, l.has_ring, l.drops_ring = 0, false, true
  else
    if l.total > l.aside then
      local from, to = (l.head + 1) % r.ring, current % r.ring
      if from <= to then
        l.total = l.total - sum_of_places(l, from, to)
      else
        l.total = l.total - sum_of_places(l, from, r.ring - 1) - sum_of_places(l, 0, to)
      end
    end
    l.changed[l.head % r.ring] = l.aside
  end
end

-- Slots that are kept in the state itself: {how far behind the head, amount}, …
local slot_formats = {}
local function advance_slots(l, raw, slots_at, current)
  local ring, count = l.record.ring, raw and math.floor((string.len(raw) - slots_at) / SLOT_BYTES) or 0
  local function put(number, amount)
    if number > current - ring then l.changed[number % ring] = amount else l.total = l.total - amount end
  end
  if count > 0 then
    if not slot_formats[count] then slot_formats[count] = '<' .. string.rep('I2I4', count) end
    local slots = {struct.unpack(slot_formats[count], raw, slots_at + 1)}
    for i = 1, count * 2, 2 do put(l.head - slots[i], slots[i + 1]) end
  end
  if current > l.head and l.aside > 0 then put(l.head, l.aside) end
end

local function advance_window(l, raw, slots_at)
  local current = math.max(l.head, slice_at(l.record, now))
  if not l.has_ring then advance_slots(l, raw, slots_at, current) elseif current > l.head then advance_ring(l, current) end
  if current > l.head then l.head, l.aside = current, 0 end
end

local function advance_budget(l)
  local periods, began = l.record.periods, 0
  for i = 1, #periods do
    if periods[i] <= now and periods[i] > began then began = periods[i] end
  end
  if began > l.head then
    l.head, l.pace_us = began, 0
    l.total = l.aside
  end
end

-- The state of a limit as of now. default: what it is, where a node has it by a default; else that stands in the string.
local function unpack_state(id, raw, default)
  local flags, total, head, pace_us, opens_at, aside = 0, 0, 0, 0, 0, 0
  if raw then flags, total, head, pace_us, opens_at, aside = struct.unpack(HEADER, raw) end
  local l, slots_at
  if default then
    slots_at = HEADER_BYTES
    l = {id = id, record = default, kind = default.kind, changed = {}, exists = raw and true, total = total, head = head, pace_us = pace_us,
      opens_at = opens_at, aside = aside, has_parked = 0, has_ring = false, written = 0, dirty = false, raw = false, tenant = false}
  else
    slots_at, l = HEADER_BYTES + RECORD_BYTES, record_of(raw, HEADER_BYTES + 1)
    l.id, l.record, l.changed, l.exists, l.total, l.head, l.pace_us, l.opens_at, l.aside = id, l, {}, true, total, head, pace_us, opens_at, aside
  end
  l.has_parked, l.has_ring, l.written = flags % 2, flags >= 2, l.head
  if l.kind == WINDOW then advance_window(l, raw, slots_at) elseif l.kind == BUDGET then advance_budget(l) end
  return l
end

local function load_limits(ids)
  local keys, wanted, defaults, of = {}, {}, nil, {}
  for i = 1, #ids do
    local id = ids[i]
    if loaded[id] == nil then
      loaded[id] = false
      wanted[#wanted + 1] = id; keys[#keys + 1] = P .. K.limit .. id
      if string.find(id, '@', 1, true) then
        local default = record_id(id)
        defaults = defaults or {}
        defaults[#defaults + 1] = default
        of[#wanted] = default
      end
    end
  end
  if #keys == 0 then return end
  if defaults then load_defaults(defaults) end
  for from = 1, #keys, 2000 do
    local raws = call('MGET', unpack(keys, from, math.min(from + 1999, #keys)))
    for i = 1, #raws do
      local n = from + i - 1
      local default = of[n] and cached.records[of[n]]
      if default or raws[i] and not of[n] then loaded[wanted[n]] = unpack_state(wanted[n], raws[i], default) end
    end
  end
end

local function limit_of(id)
  if loaded[id] == nil then load_limits({id}) end
  return loaded[id]
end

-- A state was changed: it is written at the end. tenant: whose node it is, where it is a default's.
local function keep(l, tenant)
  if l.dirty then return end
  l.dirty = true
  dirty[#dirty + 1] = l
  if not l.exists and tenant and string.find(l.id, '@', 1, true) then
    l.tenant = tenant
    births[tenant] = (births[tenant] or 0) + 1
  end
end

local function is_new_node(l) return not l.exists and not l.dirty and string.find(l.id, '@', 1, true) end

local function nodes_of(tenant) return tonumber(call('HGET', P .. K.nodes, tenant) or 0) + (births[tenant] or 0) end

-- ---- rules

-- All slots of the window, by place + 1, as this call leaves them.
local function ring_of(l)
  local ring, amounts = l.record.ring, {}
  if l.has_ring then
    zeros_of(ring)
    amounts = {struct.unpack(formats[ring], ring_raw(l))}
    for number = l.written, l.head - 1 do amounts[number % ring + 1] = 0 end
  else
    for place = 1, ring do amounts[place] = 0 end
  end
  for place, amount in pairs(l.changed) do amounts[place + 1] = amount end
  amounts[l.head % ring + 1] = l.aside
  return amounts
end

local function room_ms(l, amount, most)
  local r, over = l.record, l.total + amount - most
  if over <= 0 then return 0 end
  local freed, amounts, ring = 0, ring_of(l), r.ring
  for number = l.head - ring + 1, l.head do
    freed = freed + amounts[number % ring + 1]
    if freed >= over then return math.max(1, math.ceil((number + ring) * r.window_ms / r.slices) - now) end
  end
  return r.window_ms
end

local function pace_ms(l, amount)
  local r = l.record
  if r.burst == 1000 then return 0 end
  local burst_us = r.window_ms * r.burst
  local ahead_us = math.max(l.pace_us, now * 1000) - now * 1000 + math.min(pace_of(r, amount), burst_us)
  return math.max(0, math.ceil((ahead_us - burst_us) / 1000))
end

local function next_period_ms(l)
  local wait = FOREVER
  for _, start in ipairs(l.record.periods) do
    if start > now then wait = math.min(wait, start - now) end
  end
  return wait
end

local function budget_wait(l, amount, most)
  if l.total + amount <= most then return 0 end
  if l.total - l.aside + amount <= most then return next_period_ms(l) end
  local mode = l.record.on_exhausted
  if mode == DOWNGRADES then return DOWNGRADE end
  if mode == REJECT or amount > most then return NEVER end
  return next_period_ms(l)
end

local function wait_ms(l, amount, lane)
  local kind = l.kind
  if kind == PAUSE then
    if l.record.amount == 0 then return FOREVER end
    return math.max(0, l.record.amount - now)
  end
  local most = amount_for(l.record, lane)
  if kind == BUDGET then return budget_wait(l, amount, most) end
  if amount > most then return NEVER end
  if kind == WINDOW then return math.max(room_ms(l, amount, most), pace_ms(l, amount)) end
  if kind == CONCURRENCY then return l.total + amount <= most and 0 or FOREVER end
  local ahead_us = math.max(l.pace_us, now * 1000) - now * 1000 + pace_of(l.record, amount)
  return math.max(0, math.floor((ahead_us - pace_of(l.record, most)) / 1000))
end

local function add_to_slice(l, number, amount)
  if amount == 0 or number <= l.head - l.record.ring then return end
  local held = slot(l, number)
  local change = math.max(amount, -held)
  set_slot(l, number, held + change)
  l.total = l.total + change
end

local function take(l, amount, tenant, at_ms)
  local r = l.record
  if l.kind == BUCKET then
    l.pace_us = math.max(l.pace_us, (at_ms or now) * 1000) + pace_of(r, amount)
  else
    l.total = l.total + amount
    if l.kind == WINDOW then
      l.aside = l.aside + amount
      if r.burst < 1000 then l.pace_us = math.max(l.pace_us, now * 1000) + pace_of(r, amount) end
    elseif l.kind == BUDGET then
      l.aside = l.aside + amount
    end
  end
  keep(l, tenant)
end

local function recall(l, amount, at_ms, tenant)
  if l.kind == BUCKET then take(l, amount, tenant, at_ms); return end
  if l.kind == WINDOW then
    add_to_slice(l, math.min(l.head, slice_at(l.record, at_ms)), amount)
  elseif l.kind ~= PAUSE then
    l.total = l.total + amount
  end
  keep(l, tenant)
end

local function move(l, amount, from_ms, to_ms)
  if l.kind ~= WINDOW then return end
  local old, new = slice_at(l.record, from_ms), math.min(l.head, slice_at(l.record, to_ms))
  if new > old then
    add_to_slice(l, old, -amount)
    add_to_slice(l, new, amount)
    keep(l)
  end
end

local function adjust(l, reserved, actual, charged_ms, tenant)
  local r = l.record
  if l.kind == WINDOW then
    add_to_slice(l, slice_at(r, charged_ms), actual - reserved)
    if actual < reserved and r.burst < 1000 then l.pace_us = l.pace_us - pace_of(r, reserved - actual) end
  elseif l.kind == BUCKET then
    if actual > reserved then l.pace_us = l.pace_us + pace_of(r, actual - reserved) else l.pace_us = l.pace_us - pace_of(r, reserved - actual) end
  elseif l.kind == CONCURRENCY then
    l.total = math.max(0, l.total - reserved)
  elseif l.kind == BUDGET then
    l.aside = math.max(0, l.aside - reserved)
    l.total = l.total + actual - reserved
  end
  keep(l, tenant)
end

-- What is not refilled yet of a bucket, with the part that is on its way.
local function taken(l) return math.max(0, l.pace_us - now * 1000) * (l.record.amount / (l.record.window_ms * 1000)) end

local function used(l) return l.kind == BUCKET and math.ceil(taken(l)) or l.total end

-- The thresholds (per cent) that a budget reached since the last look, each once a period. Exhausted: as if all were spent.
local function reached(l, is_exhausted)
  local spent, new = is_exhausted and l.record.amount or l.total - l.aside, {}
  for _, share in ipairs(l.record.thresholds) do
    if spent * 100 >= share * l.record.amount and share > l.pace_us then
      new[#new + 1] = share
      l.pace_us = share
      keep(l)
    end
  end
  return new
end

local function is_void(l)
  if l.has_parked == 1 then return false end
  if l.kind == BUCKET then return l.pace_us <= now * 1000 end
  return l.total == 0 and (l.kind ~= WINDOW or l.pace_us <= now * 1000)
end

local function look_again_ms(r)
  if r.kind == BUDGET then return HOUR_MS end
  return math.max(SECOND_MS, r.window_ms)
end

-- ---- writing

local function header_of(l)
  local header = struct.pack(HEADER, l.has_parked + (l.has_ring and 2 or 0), l.total, l.head, l.pace_us, l.opens_at, l.aside)
  local r = l.record
  if r ~= l then return header end
  header = header .. struct.pack(RECORD, r.kind, r.metric, r.level, r.gives_back, r.reserve_lane, r.reserve, r.on_exhausted, r.amount, r.window_ms,
    r.burst, r.slices, r.ring)
  return r.kind == BUDGET and header .. cmsgpack.pack({r.periods, r.thresholds}) or header
end

-- The slots from one number to another, which no turn of the ring parts, as one piece.
local function write_run(key, l, from, to)
  local pieces, ring = {}, l.record.ring
  for number = from, to do
    local amount = l.changed[number % ring]
    pieces[#pieces + 1] = amount and amount ~= 0 and struct.pack('<I4', amount) or '\0\0\0\0'
    l.changed[number % ring] = nil
  end
  call('SETRANGE', key, from % ring * 4, table.concat(pieces))
end

local function write_ring(l)
  local key, ring, changes = P .. K.ring .. l.id, l.record.ring, 0
  for _ in pairs(l.changed) do changes = changes + 1 end
  if changes > MOST_PIECES then
    zeros_of(ring)
    call('SET', key, struct.pack(formats[ring], unpack(ring_of(l))))
    return
  end
  if l.head > l.written then
    local turn = l.head - 1 - (l.head - 1) % ring
    if turn > l.written then
      write_run(key, l, l.written, turn - 1)
      write_run(key, l, turn, l.head - 1)
    else
      write_run(key, l, l.written, l.head - 1)
    end
  end
  for place, amount in pairs(l.changed) do call('SETRANGE', key, place * 4, struct.pack('<I4', amount)) end
end

-- The slots that are not zero, for the state itself; a ring, where they have become too many.
local function window_state(l)
  if l.drops_ring then call('DEL', P .. K.ring .. l.id) end
  if l.has_ring then
    if l.head > l.written or next(l.changed) then write_ring(l) end
    return header_of(l)
  end
  local slots, ring = {}, l.record.ring
  for place, amount in pairs(l.changed) do
    if amount > 0 then slots[#slots + 1] = struct.pack('<I2I4', (l.head - place) % ring, amount) end
  end
  if #slots > MOST_SLOTS then
    local amounts = ring_of(l)
    zeros_of(ring)
    call('SET', P .. K.ring .. l.id, struct.pack(formats[ring], unpack(amounts)))
    l.has_ring = true
    return header_of(l)
  end
  return header_of(l) .. table.concat(slots)
end

-- States that nodes have by a default come to life: they are counted, and looked at again when they may be void.
local function note_births(born)
  local counts = {}
  for i = 1, #born do
    local l = born[i]
    local member = l.id .. '\n' .. l.tenant
    if call('ZADD', P .. K.live, 'NX', whole(now + look_again_ms(l.record)), member) == 1 then
      counts[l.tenant] = (counts[l.tenant] or 0) + 1
      call('SADD', P .. K.instances .. record_id(l.id), member)
    end
  end
  for tenant, count in pairs(counts) do call('HINCRBY', P .. K.nodes, tenant, count) end
end

local function flush_limits()
  local states, born = {}, {}
  for i = 1, #dirty do
    local l, key = dirty[i], P .. K.limit .. dirty[i].id
    if l.tenant then born[#born + 1] = l end
    states[#states + 1] = key
    states[#states + 1] = l.kind == WINDOW and window_state(l) or header_of(l)
  end
  for from = 1, #states, 2000 do call('MSET', unpack(states, from, math.min(from + 1999, #states))) end
  note_births(born)
end

local function forget_instance(member)
  local id, tenant = string.match(member, '^([^\n]*)\n(.*)$')
  call('DEL', P .. K.limit .. id, P .. K.ring .. id)
  if call('ZREM', P .. K.live, member) == 1 and call('HINCRBY', P .. K.nodes, tenant, -1) <= 0 then call('HDEL', P .. K.nodes, tenant) end
  call('SREM', P .. K.instances .. record_id(id), member)
end

-- Drop default states that say nothing any more; the others are asked again later.
local function sweep()
  local due = call('ZRANGEBYSCORE', P .. K.live, '-inf', whole(now), 'LIMIT', 0, SWEEP)
  for i = 1, #due do
    local l = limit_of(string.match(due[i], '^[^\n]*'))
    if not l or is_void(l) then
      forget_instance(due[i])
    else
      call('ZADD', P .. K.live, whole(now + look_again_ms(l.record)), due[i])
    end
  end
end

-- ---- edits

-- An empty state of a record: `id` has it by itself, or by a default.
local function new_state(id, packed)
  if string.find(id, '@', 1, true) then return unpack_state(id, nil, record_of(packed, 1)) end
  return unpack_state(id, struct.pack(HEADER, 0, 0, 0, 0, 0, 0) .. packed, nil)
end

-- What is used stays, in the slices of the new window where the length has changed; a window's pace too.
local function edited(old, packed)
  local new = new_state(old.id, packed)
  if old.kind == WINDOW and new.kind == WINDOW then
    new.pace_us = old.pace_us
    for number = old.head - old.record.ring + 1, old.head do
      local amount = slot(old, number)
      -- a charge of an old slice can have come in that slice's last millisecond
      if amount > 0 then
        local last_ms = math.ceil((number + 1) * old.record.window_ms / old.record.slices) - 1
        add_to_slice(new, math.min(new.head, slice_at(new.record, last_ms)), amount)
      end
    end
  elseif old.kind == BUCKET and new.kind == BUCKET then
    new.pace_us = now * 1000 + pace_of(new.record, taken(old))
  elseif old.kind == new.kind then
    new.total = old.total
    if new.kind == BUDGET then new.aside, new.head, new.pace_us = old.aside, old.head, old.pace_us end
  end
  new.has_parked, new.exists, new.drops_ring = old.has_parked, old.exists, old.has_ring or old.drops_ring
  if new.drops_ring and new.kind ~= WINDOW then call('DEL', P .. K.ring .. new.id) end
  return new
end

-- The limit's own state and those that nodes have by it, as ids.
local function states_of(id)
  local ids, members = {id}, call('SMEMBERS', P .. K.instances .. id)
  for i = 1, #members do ids[#ids + 1] = string.match(members[i], '^[^\n]*') end
  table.sort(ids)
  return ids
end

-- Whether what is parked under the one stands where it would under the other: by node or by job, at the same rest of a budget.
local function parks_as(one, other)
  if (one.kind == BUDGET or other.kind == BUDGET) and one.kind ~= other.kind then return false end
  for lane = 1, one.kind == BUDGET and 5 or 0 do
    if one.amount - amount_for(one, lane) ~= other.amount - amount_for(other, lane) then return false end
  end
  return true
end

-- A new or changed record. Returns {state, whether all that is parked under it must be tried} for those under which something is.
local function write_record(id, packed)
  local key, parked = P .. K.record .. id, {}
  local known = call('GET', key)
  if known == packed then return parked end
  local ids = known and states_of(id) or {id}
  load_limits(ids) -- under the old record
  call('SET', key, packed)
  call('SADD', P .. K.limit_ids, id)
  local record, was = record_of(packed, 1), known and record_of(known, 1)
  local is_recast = was and not parks_as(was, record)
  cached.records[id] = record
  for i = 1, #ids do
    local old = loaded[ids[i]]
    local l = old and edited(old, packed) or ids[i] == id and new_state(id, packed)
    if l then
      if l.has_parked == 1 then parked[#parked + 1] = {l, is_recast} end
      loaded[ids[i]] = l
      if l.exists then keep(l) end
    end
  end
  return parked
end

local function forget_record(id)
  local members = call('SMEMBERS', P .. K.instances .. id)
  for i = 1, #members do forget_instance(members[i]) end
  call('DEL', P .. K.record .. id, P .. K.limit .. id, P .. K.ring .. id)
  call('SREM', P .. K.limit_ids, id)
  local ids = states_of(id)
  for i = 1, #ids do loaded[ids[i]] = false end
  for i = #dirty, 1, -1 do
    if record_id(dirty[i].id) == id then table.remove(dirty, i) end
  end
  cached.records[id] = false
end

-- ---- what an attempt needs of each metric

local REQUESTS, TOKENS, INPUT_TOKENS, OUTPUT_TOKENS, PLACES, COST, PROVIDER_TOKENS = 1, 2, 3, 4, 5, 6, 7

local function need_of(metric, need)
  if metric == PROVIDER_TOKENS then return need.input + need.max_output end
  if metric == REQUESTS or metric == PLACES then return 1 end
  if metric == TOKENS then return need.input + need.output end
  if metric == INPUT_TOKENS then return need.input end
  if metric == OUTPUT_TOKENS then return need.output end
  return need.cost
end

return {
  NEVER = NEVER, DOWNGRADE = DOWNGRADE, FOREVER = FOREVER, WINDOW = WINDOW, BUDGET = BUDGET, PAUSE = PAUSE, HOLD = HOLD, CONCURRENCY = CONCURRENCY,
  load = load_limits, of = limit_of, found = function(id) return loaded[id] end, keep = keep, amount_for = amount_for, wait_ms = wait_ms,
  take = take, recall = recall, move = move, adjust = adjust, used = used, reached = reached, next_period_ms = next_period_ms,
  is_new_node = is_new_node, nodes_of = nodes_of, need_of = need_of, flush = flush_limits, sweep = sweep, write = write_record,
  forget = forget_record, states_of = states_of, BUCKET = BUCKET,
}
