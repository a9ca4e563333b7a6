-- Reservations: made at the grant, claimed and moved when sent, adjusted at the end. Twin: reservations.py, name by name.
-- A record: {path, tree, input, output, max_output, cost, charged_ms, holder, {limit ids}, {amounts}, deployment, generation,
--   {limit ids}, {amounts}}; the last two: of limits that count what they counted at the grant, unless nothing was sent

local JOB, RESTORED = 2, -1
local DEFAULT_RULE = {failures = 5, failure_permille = 500, window_ms = 30000, open_ms = 30000, slow_ms = 0, slow_permille = 500, probes = 1,
  forced = 0}
local need_of = rules.need_of
local records, record_changed, late_by, not_late, held_now, held_no_more, gone
fresh(function() records, record_changed, late_by, not_late, held_now, held_no_more, gone = {}, {}, {}, {}, {}, {}, {} end)

local function reservation_of(rid)
  if records[rid] == nil then
    local raw = call('HGET', P .. K.reservations, rid)
    records[rid] = raw and cmsgpack.unpack(raw) or false
  end
  return records[rid]
end

local function load_reservations(rids)
  for from = 1, #rids, 2000 do
    local to = math.min(from + 1999, #rids)
    local raws = call('HMGET', P .. K.reservations, unpack(rids, from, to))
    for n = from, to do
      local raw = raws[n - from + 1]
      if records[rids[n]] == nil then records[rids[n]] = raw and cmsgpack.unpack(raw) or false end
    end
  end
end

-- Those of the jobs (flat tree, path, member, order) whose next attempt is not granted already.
local function not_reserved(jobs)
  local rids, left = {}, {}
  for i = 3, #jobs, 4 do
    local attempt = struct.unpack('>I2', jobs[i], 29)
    rids[#rids + 1] = string.sub(jobs[i], 1, 16) .. struct.pack('>I2', attempt + 1)
  end
  load_reservations(rids)
  for n = 1, #rids do
    if not records[rids[n]] then
      for at = n * 4 - 3, n * 4 do left[#left + 1] = jobs[at] end
    end
  end
  return left
end

local function keep(rid, record)
  records[rid] = record
  record_changed[rid] = true
end

-- What this call adds and takes away, written once at its end: what goes first, then what comes.
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
  local tree = room.parts_of(record[2])
  if tree.class == JOB then holders.count_unsent(tree.lane, 1) end
end

local function claim(rid, record, holder)
  if record[8] ~= '' then return end
  record[8] = holder
  forget_late(rid)
  members_of(held_now, holder)[rid] = true
  local tree = room.parts_of(record[2])
  if tree.class == JOB then
    holders.count_unsent(tree.lane, -1)
    holders.count_running(holder, 1)
  end
  keep(rid, record)
end

-- Windows count the attempt at a later moment than they did.
local function count_at(rid, record, at_ms)
  if at_ms <= record[7] then return end
  local tenant = paths.parts_of(record[1]).tenant
  for place = 9, 13, 4 do
    local ids, amounts = record[place] or {}, record[place + 1]
    limits.load(ids)
    for i = 1, #ids do
      local l = limits.of(ids[i])
      if l then rules.move(l, amounts[i], record[7], at_ms, tenant) end
    end
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
  local tree = room.parts_of(record[2])
  if record[8] == '' then
    forget_late(rid)
    if tree.class == JOB then holders.count_unsent(tree.lane, -1) end
  else
    members_of(held_now, record[8])[rid] = nil
    local others = members_of(held_no_more, record[8])
    others[#others + 1] = rid
    if tree.class == JOB then holders.count_running(record[8], -1) end
  end
end

local function actual_of(l, reserved, record, s)
  if not s.used then return 0 end
  if l.record.gives_back == 1 then return rules.used_by(l.record, s.settled) end
  local figures = s.settled
  return math.max(reserved, rules.used_by(l.record, {input = figures.input, output = figures.output, max_output = record[5], cost = figures.cost,
    cached = figures.cached}))
end

-- A target takes nothing for a while; people hear of a long one when it begins.
local function cool(target, cool_ms, reason)
  local known = tonumber(call('HGET', P .. K.cooling, target) or 0)
  local until_ms = now + cool_ms
  call('HSET', P .. K.cooling, target, whole(math.max(known, until_ms)))
  if reason ~= '' and known <= now then notices.cooled(target, until_ms, reason) end
end

-- There may be room again.
local function after_adjust(l, has_more)
  if l.kind == limits.BUDGET then notices.thresholds(l, false) end
  if l.has_parked == 1 and (has_more or l.kind == limits.BUDGET or l.kind == limits.CONCURRENCY) then
    l.opens_at = 0
    parking.wake_at(l.id, now)
  end
end

-- What a provider tells of its limits. readings: flat limit, told|-1, remaining|-1, reset_ms|-1, ago_ms.
local function read(readings)
  local ids = {}
  for i = 1, #readings, 5 do ids[#ids + 1] = readings[i] end
  limits.load(ids)
  for i = 1, #readings, 5 do
    local l = limits.of(readings[i])
    if l and l.record.window_ms > 0 then
      local has_more = told.read(l, readings[i + 1], readings[i + 2], readings[i + 3], readings[i + 4])
      limits.keep(l)
      after_adjust(l, has_more)
    end
  end
end

local function settle_limits(ids, amounts, record, s)
  local tenant = paths.parts_of(record[1]).tenant
  limits.load(ids)
  for i = 1, #ids do
    local l, reserved = limits.of(ids[i]), amounts[i]
    if l then
      local actual = actual_of(l, reserved, record, s)
      rules.adjust(l, reserved, actual, record[7], tenant)
      local is_more = s.used and l.record.learns_from > 0 and told.learn(l, s.is_limited, rules.used(l))
      after_adjust(l, is_more or actual < reserved)
    end
  end
end

-- s: {used, is_limited, settled = {input, output, max_output, cost, cached}, counted_ago, verdict, latency_ms}
local function settle(rid, s)
  local record = reservation_of(rid)
  if not record then return end
  if s.used and s.counted_ago >= 0 then count_at(rid, record, now - s.counted_ago) end
  release(rid, record)
  settle_limits(record[9], record[10], record, s)
  if not s.used and record[13] then settle_limits(record[13], record[14], record, s) end
  local deployment = lists.deployment_of(room.parts_of(record[2]).base, record[11])
  breaker.finish(record[11], deployment and deployment.rule or DEFAULT_RULE, rid, record[12], s.verdict, s.latency_ms)
  statistics.note(record[11], s.used, s.verdict, s.latency_ms)
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
end

return {
  of = reservation_of, load = load_reservations, not_reserved = not_reserved, reserve = reserve, claim = claim, note_sent = note_sent,
  settle = settle, cool = cool, read = read, flush = flush_reservations, RESTORED = RESTORED,
}
