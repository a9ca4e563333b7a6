-- Who is alive and how much they can take: holders.py, name by name. Needs settings {send_by_ms, dead_after_ms, unsent_per_worker, most_nodes}.

local GAP_SHARE, LEFT = 2, -1
local LANE_COUNT = 108 -- the letter l; counts: l + lane → unsent grants, h + holder → claimed jobs
local holder_table, running, unsent, running_change, unsent_change, bases, rooms, resumed_at
fresh(function()
  holder_table, running, unsent, running_change, unsent_change, bases, rooms, resumed_at = nil, nil, nil, {}, {}, nil, {}, nil
end)

local function load_holders()
  if holder_table then return end
  holder_table, running, unsent = {}, {}, {}
  local flat = call('HGETALL', P .. K.holders)
  for i = 1, #flat, 2 do
    local record, lanes = cmsgpack.unpack(flat[i + 1]), {}
    for j = 1, #record[2] do lanes[record[2][j]] = true end
    holder_table[flat[i]] = {slots = record[1], lanes = lanes, beat = record[3]}
  end
  for lane = 1, 5 do unsent[lane] = 0 end
  flat = call('HGETALL', P .. K.counts)
  for i = 1, #flat, 2 do
    local kind, name = string.byte(flat[i]), string.sub(flat[i], 2)
    if kind == LANE_COUNT then unsent[tonumber(name)] = tonumber(flat[i + 1]) else running[name] = tonumber(flat[i + 1]) end
  end
  for holder, change in pairs(running_change) do running[holder] = (running[holder] or 0) + change end
  for lane, change in pairs(unsent_change) do unsent[lane] = unsent[lane] + change end
end

-- base room of each lane before unsent grants, and the lanes whose unsent grants count against it
local function lane_bases()
  if bases then return bases end
  load_holders()
  bases = {}
  for lane = 1, 5 do
    local free, workers, reached = 0, 0, {}
    for id, holder in pairs(holder_table) do
      if holder.lanes[lane] and holder.slots > 0 and now - holder.beat <= settings[2] then
        free = free + math.max(0, holder.slots - (running[id] or 0))
        workers = workers + 1
        for served in pairs(holder.lanes) do reached[served] = true end
      end
    end
    bases[lane] = {math.min(free, settings[3] * workers), reached}
  end
  return bases
end

local function lane_room(lane)
  if not rooms[lane] then
    local base = lane_bases()[lane]
    local room = base[1]
    for served in pairs(base[2]) do room = room - unsent[served] end
    rooms[lane] = room
  end
  return rooms[lane]
end

local function count_unsent(lane, change)
  unsent_change[lane] = (unsent_change[lane] or 0) + change
  if unsent then unsent[lane] = unsent[lane] + change; rooms = {} end
end

local function count_running(holder, change) running_change[holder] = (running_change[holder] or 0) + change end

-- Somebody asks or beats. After a silence of all, nobody is called dead before a whole dead_after has passed.
local function note_gap()
  local last_heard = tonumber(call('HGET', P .. K.pulse, 'last_heard') or 0)
  if now - last_heard > math.floor(settings[2] / GAP_SHARE) then call('HSET', P .. K.pulse, 'resumed_at', whole(now)) end
  call('HSET', P .. K.pulse, 'last_heard', whole(now))
end

local function is_alive(holder)
  local beat = tonumber(call('ZSCORE', P .. K.beats, holder) or 0)
  if beat == LEFT then return false end
  resumed_at = resumed_at or tonumber(call('HGET', P .. K.pulse, 'resumed_at') or 0)
  return now - math.max(beat, resumed_at) <= settings[2]
end

local function forget_holder(holder)
  call('HDEL', P .. K.holders, holder)
  call('ZREM', P .. K.beats, holder)
  call('HDEL', P .. K.counts, 'h' .. holder)
end

local function flush_holders()
  for lane, change in pairs(unsent_change) do
    if change ~= 0 then call('HINCRBY', P .. K.counts, 'l' .. lane, change) end
  end
  for holder, change in pairs(running_change) do
    if change ~= 0 then call('HINCRBY', P .. K.counts, 'h' .. holder, change) end
  end
end

return {
  lane_room = lane_room, count_unsent = count_unsent, count_running = count_running, note_gap = note_gap, is_alive = is_alive,
  forget = forget_holder, flush = flush_holders, LEFT = LEFT,
}
