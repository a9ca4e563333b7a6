-- All limits: what they are and what is used of them. Twin: table.py.
-- A limit is one packed string: what is used of it, what it is, and for windows the few slots that are not zero; a call loads those that it
-- needs by one MGET and writes what changed by one MSET. A busy window has a ring of u32 beside it instead, of which the string holds the
-- head's slot: the ring is read and written only when the head moves on, or when something older changes. Of a provider's limit, what is known
-- of it stands between what is used and what it is.
-- A limit that a node has by a default holds only what is used; what it is is the default's, which this interpreter keeps between calls.

local NEVER, DOWNGRADE, FOREVER = -1, -2, 2 ^ 50
local WINDOW, BUCKET, CONCURRENCY, BUDGET, PAUSE = 1, 2, 3, 4, 5
local HEADER, HEADER_BYTES = '<Bddddd', 41
local RECORD, RECORD_BYTES, MOST_RECORDS = '<BBBBBHBddHHHHI4I4', 40, 20000
local SECOND_MS, HOUR_MS = 1000, 3600000

local loaded, dirty, births -- this call's states by id; those to write; by tenant, the default states that come to life
fresh(function() loaded, dirty, births = {}, {}, {} end)

-- ---- records: what a limit is

-- Limits of the same kind and amounts share one record. Of a budget, periods and thresholds follow at the end of the string.
local records, records_size = {}, 0
local function record_of(packed)
  local r = records[packed]
  if r then return r end
  if records_size > MOST_RECORDS then records, records_size = {}, 0 end
  r = {packed = packed}
  r.kind, r.metric, r.level, r.returns, r.reserve_lane, r.reserve, r.on_exhausted, r.amount, r.window_ms, r.burst, r.slices, r.ring, r.output,
    r.learns_from, r.learns_floor = struct.unpack(RECORD, packed)
  r.gives_back, r.skips_cached = r.returns % 2, r.returns >= 2
  if r.kind == BUDGET then
    local tail = cmsgpack.unpack(string.sub(packed, RECORD_BYTES + 1))
    r.periods, r.thresholds = tail[1], tail[2]
  end
  records[packed] = r
  records_size = records_size + 1
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
    if raws[i] then cached.records[missing[i]] = record_of(raws[i]) end
  end
  cached.size = cached.size + #missing
end

-- ---- states: total, head (of a budget: when its period began), pace_us (of a budget: the highest threshold noticed), opens_at,
-- aside (of a budget: what is reserved; of a window: what counts in the head's slot; of a bucket: when it was last full)

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
local function unpack_state(id, raw, default, key)
  local flags, total, head, pace_us, opens_at, aside = 0, 0, 0, 0, 0, 0
  if raw then flags, total, head, pace_us, opens_at, aside = struct.unpack(HEADER, raw) end
  local record, slots_at = default, HEADER_BYTES
  if flags >= 4 then slots_at = HEADER_BYTES + told.BYTES end
  if not default then
    local is_budget = string.byte(raw, slots_at + 1) == BUDGET
    record = record_of(string.sub(raw, slots_at + 1, not is_budget and slots_at + RECORD_BYTES or -1))
    slots_at = slots_at + RECORD_BYTES
  end
  -- made at its size: a table that grows costs more
  local l = {id = id, record = record, kind = record.kind, changed = {}, exists = raw and true, is_default = default and true, total = total,
    head = head, pace_us = pace_us, opens_at = opens_at, aside = aside, has_parked = flags % 2, has_ring = flags % 4 >= 2, written = head,
    dirty = false, key = key or P .. K.limit .. id, amount = record.amount, told = nil}
  if flags >= 4 or record.learns_from > 0 then told.load(l, raw, flags >= 4 and HEADER_BYTES + 1 or nil) end
  if l.kind == WINDOW then windows.advance(l, raw, slots_at) elseif l.kind == BUDGET then advance_budget(l) end
  return l
end

-- What has to be known to read limits: their keys and, of those that nodes have by a default, its id. Paths keep it.
local function describe(ids)
  local keys, defaults = {}, {}
  for i = 1, #ids do
    keys[i] = P .. K.limit .. ids[i]
    defaults[i] = string.find(ids[i], '@', 1, true) and record_id(ids[i]) or false
  end
  return {keys = keys, defaults = defaults}
end

local function load_limits(ids, known)
  local keys, wanted, defaults
  for i = 1, #ids do
    if loaded[ids[i]] == nil then
      known = known or describe(ids)
      if not keys then keys, wanted = {}, {} end
      loaded[ids[i]] = false
      keys[#keys + 1], wanted[#wanted + 1] = known.keys[i], i
      if known.defaults[i] then
        defaults = defaults or {}
        defaults[#defaults + 1] = known.defaults[i]
      end
    end
  end
  if not keys then return end
  if defaults then load_defaults(defaults) end
  for from = 1, #keys, 2000 do
    local raws = call('MGET', unpack(keys, from, math.min(from + 1999, #keys)))
    for n = 1, #raws do
      local i = wanted[from + n - 1]
      local default = known.defaults[i] and cached.records[known.defaults[i]]
      if default or raws[n] and not known.defaults[i] then loaded[ids[i]] = unpack_state(ids[i], raws[n], default, known.keys[i]) end
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

-- What was to be written of a limit that no longer exists.
local function drop_dirty(id)
  for i = #dirty, 1, -1 do
    if record_id(dirty[i].id) == id then table.remove(dirty, i) end
  end
end

local function is_new_node(l) return not l.exists and not l.dirty and string.find(l.id, '@', 1, true) end

local function nodes_of(tenant) return tonumber(call('HGET', P .. K.nodes, tenant) or 0) + (births[tenant] or 0) end

local function look_again_ms(r)
  if r.kind == BUDGET then return HOUR_MS end
  return math.max(SECOND_MS, r.window_ms)
end

-- ---- writing

local function packed_state(l, slots)
  local flags = l.has_parked + (l.has_ring and 2 or 0) + (l.told and 4 or 0)
  local header = struct.pack(HEADER, flags, l.total, l.head, l.pace_us, l.opens_at, l.aside)
  if l.told then header = header .. told.pack(l.told) end
  if l.is_default then return header .. slots end
  return header .. l.record.packed .. slots
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
    local l = dirty[i]
    if l.tenant then born[#born + 1] = l end
    local slots = l.kind == WINDOW and windows.write(l) or '' -- first: it may give the window a ring
    states[#states + 1] = l.key
    states[#states + 1] = packed_state(l, slots)
  end
  for from = 1, #states, 2000 do call('MSET', unpack(states, from, math.min(from + 1999, #states))) end
  note_births(born)
end

return {
  NEVER = NEVER, DOWNGRADE = DOWNGRADE, FOREVER = FOREVER, WINDOW = WINDOW, BUCKET = BUCKET, CONCURRENCY = CONCURRENCY, BUDGET = BUDGET,
  PAUSE = PAUSE, HEADER = HEADER, record_of = record_of, record_id = record_id, unpack = unpack_state, load = load_limits,
  describe = describe, of = limit_of,
  put = function(id, l) loaded[id] = l end, keep = keep, drop_dirty = drop_dirty, is_new_node = is_new_node, nodes_of = nodes_of,
  look_again_ms = look_again_ms, flush = flush_limits,
}
