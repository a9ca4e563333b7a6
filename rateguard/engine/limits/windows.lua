-- The slots of windows: what counts in which slice of time. Twin: Window in states.py. A busy window has a ring of u32 in a key of its own, of
-- which the state holds the head's slot; any other keeps its few slots in its state.

local SLOT_BYTES, MOST_SLOTS, MOST_PIECES = 6, 16, 4

local function slice_at(r, at_ms) return math.floor(at_ms * r.slices / r.window_ms) end

local formats, zeros = {}, {}
local function format_of(count)
  if not formats[count] then formats[count] = '<' .. string.rep('I4', count) end
  return formats[count]
end
local function zeros_of(count)
  if not zeros[count] then zeros[count] = string.rep('\0', count * 4) end
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
  local amounts, sum = {struct.unpack(format_of(count), raw)}, 0
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
  local count = raw and math.floor((string.len(raw) - slots_at) / SLOT_BYTES) or 0
  local ring, oldest = l.record.ring, current - l.record.ring
  if count > 0 then
    if not slot_formats[count] then slot_formats[count] = '<' .. string.rep('I2I4', count) end
    local slots = {struct.unpack(slot_formats[count], raw, slots_at + 1)}
    for i = 1, count * 2, 2 do
      local number = l.head - slots[i]
      if number > oldest then l.changed[number % ring] = slots[i + 1] else l.total = l.total - slots[i + 1] end
    end
  end
  if current > l.head and l.aside > 0 then
    if l.head > oldest then l.changed[l.head % ring] = l.aside else l.total = l.total - l.aside end
  end
end

local function advance_window(l, raw, slots_at)
  local current = math.max(l.head, slice_at(l.record, now))
  if not l.has_ring then advance_slots(l, raw, slots_at, current) elseif current > l.head then advance_ring(l, current) end
  if current > l.head then l.head, l.aside = current, 0 end
end

-- All slots of the window, by place + 1, as this call leaves them.
local function ring_of(l)
  local ring, amounts = l.record.ring, {}
  if l.has_ring then
    amounts = {struct.unpack(format_of(ring), ring_raw(l))}
    for number = l.written, l.head - 1 do amounts[number % ring + 1] = 0 end
  else
    for place = 1, ring do amounts[place] = 0 end
  end
  for place, amount in pairs(l.changed) do amounts[place + 1] = amount end
  amounts[l.head % ring + 1] = l.aside
  return amounts
end

local function add_to_slice(l, number, amount)
  if amount == 0 or number <= l.head - l.record.ring then return end
  local held = slot(l, number)
  local change = math.max(amount, -held)
  set_slot(l, number, held + change)
  l.total = l.total + change
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

local function write_whole(l) call('SET', P .. K.ring .. l.id, struct.pack(format_of(l.record.ring), unpack(ring_of(l)))) end

local function write_ring(l)
  local key, ring, changes = P .. K.ring .. l.id, l.record.ring, 0
  for _ in pairs(l.changed) do changes = changes + 1 end
  if changes > MOST_PIECES then write_whole(l); return end
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

-- Write what changed in the ring. Returns the slots that stand in the state itself; a window for which they are too many gets a ring.
local function write(l)
  if l.drops_ring then call('DEL', P .. K.ring .. l.id) end
  if l.has_ring then
    if l.head > l.written or next(l.changed) then write_ring(l) end
    return ''
  end
  local slots, ring = {}, l.record.ring
  for place, amount in pairs(l.changed) do
    if amount > 0 then slots[#slots + 1] = struct.pack('<I2I4', (l.head - place) % ring, amount) end
  end
  if #slots > MOST_SLOTS then
    write_whole(l)
    l.has_ring = true
    return ''
  end
  return table.concat(slots)
end

return {slice_at = slice_at, slot = slot, ring_of = ring_of, add = add_to_slice, advance = advance_window, write = write}
