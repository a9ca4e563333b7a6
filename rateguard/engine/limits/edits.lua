-- Limits that change and limits that go: edits.py, table.py.

local WINDOW, BUCKET, BUDGET = limits.WINDOW, limits.BUCKET, limits.BUDGET
local SWEEP = 200

local function forget_instance(member)
  local id, tenant = string.match(member, '^([^\n]*)\n(.*)$')
  call('DEL', P .. K.limit .. id, P .. K.ring .. id)
  if call('ZREM', P .. K.live, member) == 1 and call('HINCRBY', P .. K.nodes, tenant, -1) <= 0 then call('HDEL', P .. K.nodes, tenant) end
  call('SREM', P .. K.instances .. limits.record_id(id), member)
end

-- Drop default states that say nothing any more; the others are asked again later.
local function sweep()
  local due = call('ZRANGEBYSCORE', P .. K.live, '-inf', whole(now), 'LIMIT', 0, SWEEP)
  for i = 1, #due do
    local l = limits.of(string.match(due[i], '^[^\n]*'))
    if not l or rules.is_void(l) then
      forget_instance(due[i])
    else
      call('ZADD', P .. K.live, whole(now + limits.look_again_ms(l.record)), due[i])
    end
  end
end

-- ---- edits

-- An empty state of a record: `id` has it by itself, or by a default.
local function new_state(id, packed)
  if string.find(id, '@', 1, true) then return limits.unpack(id, nil, limits.record_of(packed)) end
  return limits.unpack(id, struct.pack(limits.HEADER, 0, 0, 0, 0, 0, 0) .. packed, nil)
end

-- What is used stays, in the slices of the new window where the length has changed; a window's pace too.
local function edited(old, packed)
  local new = new_state(old.id, packed)
  told.carry(old, new)
  if old.kind == WINDOW and new.kind == WINDOW then
    new.pace_us = old.pace_us
    for number = old.head - old.record.ring + 1, old.head do
      local amount = windows.slot(old, number)
      -- a charge of an old slice can have come in that slice's last millisecond
      if amount > 0 then
        local last_ms = math.ceil((number + 1) * old.record.window_ms / old.record.slices) - 1
        windows.add(new, math.min(new.head, windows.slice_at(new.record, last_ms)), amount)
      end
    end
  elseif new.kind == BUCKET and (old.kind == BUCKET or old.kind == WINDOW) then
    new.pace_us = now * 1000 + told.pace_of(new, old.kind == BUCKET and rules.taken(old) or old.total)
    new.aside = old.kind == BUCKET and old.aside or 0
  elseif old.kind == BUCKET and new.kind == WINDOW then
    windows.add(new, new.head, rules.used(old))
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
    if one.amount - rules.amount_for(one, lane) ~= other.amount - rules.amount_for(other, lane) then return false end
  end
  return true
end

-- A new or changed record. Returns {state, whether all that is parked under it must be tried} for those under which something is.
local function write_record(id, packed)
  local key, parked = P .. K.record .. id, {}
  local known = call('GET', key)
  if known == packed then return parked end
  local ids = known and states_of(id) or {id}
  limits.load(ids) -- under the old record
  call('SET', key, packed)
  call('SADD', P .. K.limit_ids, id)
  local record, was = limits.record_of(packed), known and limits.record_of(known)
  local is_recast = was and not parks_as(was, record)
  cached.records[id] = record
  for i = 1, #ids do
    local old = limits.of(ids[i])
    local l = old and edited(old, packed) or ids[i] == id and new_state(id, packed)
    if l then
      if l.has_parked == 1 then parked[#parked + 1] = {l, is_recast} end
      limits.put(ids[i], l)
      if l.exists then limits.keep(l) end
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
  for i = 1, #ids do limits.put(ids[i], false) end
  limits.drop_dirty(id)
  cached.records[id] = false
end

return {write = write_record, forget = forget_record, states_of = states_of, sweep = sweep}
