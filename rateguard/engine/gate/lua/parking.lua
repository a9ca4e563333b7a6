-- The nodes and jobs that are parked under limits, and when they are looked at again. Twin: the part of room.py about parking.

local LANE_RANK, TENANT, JOB = 10 ^ 15, 1, 2
local JOB_RANK = LANE_RANK / 2
local node_name = room.node_name
local first_wake
fresh(function() first_wake = nil end)

-- When something that is parked is looked at next; FOREVER where nothing is.
local function next_wake()
  if not first_wake then
    local first = call('ZRANGE', P .. K.wake, 0, 0, 'WITHSCORES')
    first_wake = tonumber(first[2] or limits.FOREVER)
  end
  return first_wake
end

local function wake_at(id, at_ms)
  first_wake = nil
  if at_ms then call('ZADD', P .. K.wake, whole(at_ms), id) else call('ZREM', P .. K.wake, id) end
end

-- By this moment at the latest.
local function wake_by(id, at_ms)
  first_wake = nil
  call('ZADD', P .. K.wake, 'LT', whole(at_ms), id)
end

-- Take the highest node wholly under the limit out of the ready ones until the limit opens.
local function park(l, tree, path, order, tenant_tag, user_tag, opens_at)
  local node, tag
  if l.record.level == TENANT then
    node, tag = node_name(tree, path.tenant, ''), tenant_tag
    room.drop_tenant(tree, path.tenant)
  else
    node, tag = node_name(tree, path.tenant, path.id), user_tag
    room.drop_leaf(tree, path.id)
  end
  -- where tags are equal, the head that came first is looked at first
  local member = string.format('%016.0f', order) .. node
  -- lanes in order; inside one, synchronous calls before jobs; then by tag
  local parts = room.parts_of(tree)
  local rank = parts.lane * LANE_RANK + (parts.class == JOB and JOB_RANK or 0)
  call('ZADD', P .. K.parked .. l.id, whole(rank + math.min(tag, JOB_RANK - 1)), member)
  call('HSET', P .. K.parked_at, node, l.id)
  l.has_parked, l.opens_at = 1, opens_at or 0
  limits.keep(l, path.tenant)
  wake_at(l.id, opens_at)
end

local function node_ready(tree, tenant, path)
  if path ~= '' then
    room.leaf_ready(tree, path)
  elseif call('EXISTS', P .. K.users .. tree .. '\n' .. tenant) == 1 then
    room.tenant_ready(tree, tenant)
  end
end

-- The first nodes parked under the limit are ready again.
local function unpark(l, most)
  local key = P .. K.parked .. l.id
  local members = call('ZRANGE', key, 0, (most or 1) - 1)
  for i = 1, #members do
    local node = string.sub(members[i], 17)
    call('ZREM', key, members[i])
    call('HDEL', P .. K.parked_at, node)
    node_ready(string.match(node, '^([^\n]*)\n([^\n]*)\n([^\n]*)$'))
  end
  if l.has_parked == 1 and call('EXISTS', key) == 0 then l.has_parked = 0; limits.keep(l) end
end

local function first_parked_lane(l)
  local found = call('ZRANGE', P .. K.parked .. l.id, 0, 0, 'WITHSCORES')
  if #found == 0 then return 9 end
  return math.floor(tonumber(found[2]) / LANE_RANK)
end

-- A job that does not fit the rest of a budget steps aside; it blocks nobody. Ordered by the rest with which it fits.
local function park_job(l, tree, path, member, order, rest, following, tenant)
  call('ZADD', P .. K.parked_jobs .. l.id, whole(rest), member)
  call('HSET', P .. K.parked_place, l.id .. '\n' .. member, cmsgpack.pack({tree, path, order}))
  room.step_aside(tree, path, member, following)
  if l.has_parked == 0 then l.has_parked = 1; limits.keep(l, tenant) end
end

local function unpark_jobs(l, members)
  for i = 1, #members do
    local field = l.id .. '\n' .. members[i]
    local raw = call('HGET', P .. K.parked_place, field)
    call('ZREM', P .. K.parked_jobs .. l.id, members[i])
    if raw then
      local place = cmsgpack.unpack(raw)
      call('HDEL', P .. K.parked_place, field)
      call('ZADD', P .. K.jobs .. place[1] .. '\n' .. place[2], whole(place[3]), members[i])
      room.leaf_ready(place[1], place[2])
    end
  end
  if l.has_parked == 1 and call('EXISTS', P .. K.parked_jobs .. l.id) == 0 then l.has_parked = 0; limits.keep(l) end
end

-- A job left: a node may have been parked for it, and nobody behind needs to wait for it any more.
local function look_again(tree, path)
  local tenant = paths.parts_of(path).tenant
  for _, node in ipairs({node_name(tree, tenant, ''), node_name(tree, tenant, path)}) do
    local id = call('HGET', P .. K.parked_at, node)
    local l = id and limits.of(id)
    if l then
      l.opens_at = 0
      limits.keep(l)
      wake_at(id, now)
    end
  end
end

-- All that is parked under a limit is tried again.
local function free_parked(l)
  if l.has_parked == 0 then return end
  unpark_jobs(l, call('ZRANGE', P .. K.parked_jobs .. l.id, 0, -1))
  local count = call('ZCARD', P .. K.parked .. l.id)
  if count > 0 then unpark(l, count) end
  wake_at(l.id, nil)
end

return {
  next_wake = next_wake, wake_at = wake_at, wake_by = wake_by, park = park, unpark = unpark, first_parked_lane = first_parked_lane,
  park_job = park_job, unpark_jobs = unpark_jobs, free = free_parked, look_again = look_again,
}
