-- Reservations: made at the grant, claimed and moved when sent, adjusted at the end. Twin: reservations.py, name by name.
-- A record: {path, tree, input, output, max_output, cost, charged_ms, holder, {limit ids}, {amounts}, deployment}

local JOB = 2
local records = {}

local function reservation_of(rid)
  if records[rid] == nil then
    local raw = call('HGET', P .. K.reservations, rid)
    records[rid] = raw and cmsgpack.unpack(raw) or false
  end
  return records[rid]
end

-- Those of the jobs (flat tree, path, member, order) whose next attempt is not granted already.
local function not_reserved(jobs)
  local rids, left = {}, {}
  for i = 3, #jobs, 4 do
    local attempt = struct.unpack('>I2', jobs[i], 29)
    rids[#rids + 1] = string.sub(jobs[i], 1, 16) .. struct.pack('>I2', attempt + 1)
  end
  for from = 1, #rids, 2000 do
    local to = math.min(from + 1999, #rids)
    local known = call('HMGET', P .. K.reservations, unpack(rids, from, to))
    for n = from, to do
      local record = records[rids[n]]
      if record == nil then record = known[n - from + 1] end
      if not record then
        for at = n * 4 - 3, n * 4 do left[#left + 1] = jobs[at] end
      end
    end
  end
  return left
end

local record_changed = {}
local function keep(rid, record)
  records[rid] = record
  record_changed[rid] = true
end

local function count_unsent(lane, change)
  unsent_change[lane] = (unsent_change[lane] or 0) + change
  if unsent then unsent[lane] = unsent[lane] + change; rooms = {} end
end
local function count_running(holder, change)
  running_change[holder] = (running_change[holder] or 0) + change
end

-- What this call adds and takes away, written once at its end: what goes first, then what comes.
local late_by, not_late, held_now, held_no_more, gone = {}, {}, {}, {}, {}
local function members_of(sets, holder)
  if not sets[holder] then sets[holder] = {} end
  return sets[holder]
end
local function forget_late(rid)
  if late_by[rid] then late_by[rid] = nil else not_late[#not_late + 1] = rid end
end

local function reserve(rid, record, send_by)
  keep(rid, record)
  late_by[rid] = send_by
  if parts_of(record[2]).class == JOB then count_unsent(parts_of(record[2]).lane, 1) end
end

local function claim(rid, record, holder)
  if record[8] ~= '' then return end
  record[8] = holder
  forget_late(rid)
  members_of(held_now, holder)[rid] = true
  if parts_of(record[2]).class == JOB then
    count_unsent(parts_of(record[2]).lane, -1)
    count_running(holder, 1)
  end
  keep(rid, record)
end

-- Windows count the attempt at a later moment than they did.
local function count_at(rid, record, at_ms)
  if at_ms <= record[7] then return end
  load_limits(record[9])
  for i = 1, #record[9] do
    local l = limits[record[9][i]]
    if l then move(l, record[10][i], record[7], at_ms) end
  end
  record[7] = at_ms
  keep(rid, record)
end

local function note_sent(rid, holder, ago_ms)
  local record = reservation_of(rid)
  if not record then return end
  claim(rid, record, holder)
  count_at(rid, record, now - ago_ms)
end

local function release(rid, record)
  records[rid], record_changed[rid] = false, nil
  gone[#gone + 1] = rid
  if record[8] == '' then
    forget_late(rid)
    if parts_of(record[2]).class == JOB then count_unsent(parts_of(record[2]).lane, -1) end
  else
    members_of(held_now, record[8])[rid] = nil
    local others = members_of(held_no_more, record[8])
    others[#others + 1] = rid
    if parts_of(record[2]).class == JOB then count_running(record[8], -1) end
  end
end

local function actual_of(l, reserved, record, used, input, output, cost)
  if used == 0 then return 0 end
  if l.gives_back == 1 then return need_of(l.metric, {input = input, output = output, max_output = output, cost = cost}) end
  return math.max(reserved, need_of(l.metric, {input = input, output = output, max_output = record[5], cost = cost}))
end

local function settle(rid, used, input, output, cost, counted_ago, target, cool_ms)
  if target ~= '' then
    local known = tonumber(call('HGET', P .. K.cooling, target) or 0)
    call('HSET', P .. K.cooling, target, whole(math.max(known, now + cool_ms)))
  end
  local record = reservation_of(rid)
  if not record then return end
  load_limits(record[9])
  if used == 1 and counted_ago >= 0 then count_at(rid, record, now - counted_ago) end
  release(rid, record)
  for i = 1, #record[9] do
    local l, reserved = limits[record[9][i]], record[10][i]
    if l then
      local actual = actual_of(l, reserved, record, used, input, output, cost)
      adjust(l, reserved, actual, record[7])
      if l.has_parked == 1 and (actual < reserved or l.kind ~= WINDOW) then
        l.opens_at = 0
        wake_at(l, now)
      end
    end
  end
end

local function flush_sets()
  call_many('ZREM', P .. K.send_by, not_late)
  local late = {}
  for rid, send_by in pairs(late_by) do late[#late + 1] = whole(send_by); late[#late + 1] = rid end
  call_many('ZADD', P .. K.send_by, late)
  for holder, members in pairs(held_no_more) do call_many('SREM', P .. K.held .. holder, members) end
  for holder, set in pairs(held_now) do
    local members = {}
    for rid in pairs(set) do members[#members + 1] = rid end
    call_many('SADD', P .. K.held .. holder, members)
    if #members > 0 then call('ZADD', P .. K.beats, 'NX', 0, holder) end -- never heard (a rebuild): its silence counts from the rebuild on
  end
end

local function flush_reservations()
  local fields = {}
  for rid in pairs(record_changed) do
    fields[#fields + 1] = rid
    fields[#fields + 1] = cmsgpack.pack(records[rid])
  end
  call_many('HDEL', P .. K.reservations, gone)
  call_many('HSET', P .. K.reservations, fields)
  flush_sets()
  for lane, change in pairs(unsent_change) do
    if change ~= 0 then call('HINCRBY', P .. K.unsent, lane, change) end
  end
  for holder, change in pairs(running_change) do
    if change ~= 0 then call('HINCRBY', P .. K.running, holder, change) end
  end
end
