-- The waiting room: room.py, name by name. Trees (model|class|lane) → tenants → leaves → jobs, and the nodes parked under limits.

local SECOND_LOOK_MS, LANE_RANK = 100, 10 ^ 15
local SHARED, TENANT = 0, 1
local trees, paths, models, heads = nil, {}, {}, {}
local waiting_change = 0

local function path_of(id)
  if paths[id] == nil then
    local raw = call('GET', P .. K.path .. id)
    paths[id] = raw and cmsgpack.unpack(raw) or false
  end
  return paths[id]
end

local function model_of(name)
  if models[name] == nil then
    local raw = call('GET', P .. K.model .. name)
    models[name] = raw and cmsgpack.unpack(raw) or false
  end
  return models[name]
end

-- parts of 'model|class|lane'
local function tree_model(tree) return string.sub(tree, 1, -5) end
local function tree_class(tree) return tonumber(string.sub(tree, -3, -3)) end
local function tree_lane(tree) return tonumber(string.sub(tree, -1)) end
local function node_name(tree, tenant, path) return tree .. '\n' .. tenant .. '\n' .. path end

local pools = {}
local function pool_of(tree)
  local pool = pools[tree]
  if not pool then
    local model = model_of(tree_model(tree))
    pool = model and model[1] or tree_model(tree)
    pools[tree] = pool
  end
  return pool
end
local function plane_of(tree) return pool_of(tree) .. string.sub(tree, -4) end

local function known_trees()
  if not trees then
    trees = {}
    local members = call('SMEMBERS', P .. K.trees)
    for i = 1, #members do trees[members[i]] = true end
  end
  return trees
end

-- Virtual times and finish tags that this call touched; written once at the end.
local virtual, finish, finish_changed = {}, {}, {}
local function virtual_of(plane)
  if not virtual[plane] then virtual[plane] = tonumber(call('HGET', P .. K.virtual, plane) or 0) end
  return virtual[plane]
end
local function finish_of(plane, tenant)
  local key = plane .. '\n' .. tenant
  if not finish[key] then finish[key] = tonumber(call('HGET', P .. K.finish .. plane, tenant) or 0) end
  return finish[key]
end
local function set_finish(plane, tenant, tag)
  finish[plane .. '\n' .. tenant] = tag
  finish_changed[plane] = finish_changed[plane] or {}
  finish_changed[plane][tenant] = tag
end
local virtual_changed = {}
local function set_virtual(plane, tag)
  virtual[plane] = tag; virtual_changed[plane] = tag
end

-- {tenant, tag, order of its head job or nil} of each tree that this call has looked at
local function forget_head_job(tree)
  if heads[tree] then heads[tree][3] = nil end
end

local function tenant_ready(tree, tenant)
  if call('HEXISTS', P .. K.parked_at, node_name(tree, tenant, '')) == 1 then return end
  local key = P .. K.tenants .. tree
  if call('ZSCORE', key, tenant) then return end
  local plane = plane_of(tree)
  call('ZADD', key, whole(math.max(virtual_of(plane), finish_of(plane, tenant))), tenant)
  call('SADD', P .. K.trees, tree)
  if trees then trees[tree] = true end
  heads[tree] = nil
end

local function leaf_ready(tree, tenant, path)
  forget_head_job(tree)
  if call('HEXISTS', P .. K.parked_at, node_name(tree, tenant, path)) == 1 then return end
  local place = tree .. '\n' .. tenant
  local key = P .. K.leaves .. place
  if not call('ZSCORE', key, path) then
    local ends = tonumber(call('HGET', P .. K.leaf_finish .. place, path) or 0)
    local time = tonumber(call('HGET', P .. K.leaf_virtual, place) or 0)
    call('ZADD', key, whole(math.max(time, ends)), path)
  end
  tenant_ready(tree, tenant)
end

-- 1: waits (or waited already); 0: its path is not configured
local function enqueue(tree, path, member, order)
  local record = path_of(path)
  if not record then return 0 end
  local ids = record[3]
  for i = 1, #ids do
    local l = limit_of(ids[i])
    if l and l.kind == BUDGET and l.has_parked == 1 and call('ZSCORE', P .. K.parked_jobs .. l.id, member) then return 1 end
  end
  if call('ZADD', P .. K.jobs .. tree .. '\n' .. path, 'NX', whole(order), member) == 1 then
    waiting_change = waiting_change + 1
    leaf_ready(tree, record[1], path)
  end
  return 1
end

local function withdraw(tree, path, member)
  local record = path_of(path)
  if not record then return end
  waiting_change = waiting_change - call('ZREM', P .. K.jobs .. tree .. '\n' .. path, member)
  for i = 1, #record[3] do
    local id = record[3][i]
    if call('ZREM', P .. K.parked_jobs .. id, member) == 1 then
      call('HDEL', P .. K.parked_place, id .. '\n' .. member)
      waiting_change = waiting_change - 1
    end
  end
end

local function take_job(tree, path, member)
  forget_head_job(tree)
  call('ZREM', P .. K.jobs .. tree .. '\n' .. path, member)
  waiting_change = waiting_change - 1
end

-- {tenant, tag} whose turn it is, or nil; a tree without one is no longer looked at
local function first_tenant(tree)
  if heads[tree] then return heads[tree] end
  local found = call('ZRANGE', P .. K.tenants .. tree, 0, 0, 'WITHSCORES')
  if #found == 0 then
    call('SREM', P .. K.trees, tree)
    known_trees()[tree] = nil
    return nil
  end
  heads[tree] = {found[1], tonumber(found[2])}
  return heads[tree]
end

local function drop_tenant(tree, tenant)
  local place = tree .. '\n' .. tenant
  call('ZREM', P .. K.tenants .. tree, tenant)
  call('DEL', P .. K.leaf_finish .. place)
  call('HDEL', P .. K.leaf_virtual, place)
  heads[tree] = nil
end

local function drop_leaf(tree, tenant, path)
  forget_head_job(tree)
  local key = P .. K.leaves .. tree .. '\n' .. tenant
  call('ZREM', key, path)
  if call('EXISTS', key) == 0 then drop_tenant(tree, tenant) end
end

local function advance_tags(tree, tenant, path, cost, weight, tenant_tag, leaf_tag, is_last)
  local plane, place = plane_of(tree), tree .. '\n' .. tenant
  set_virtual(plane, math.max(virtual_of(plane), tenant_tag))
  local tag = tenant_tag + math.floor(cost / weight)
  set_finish(plane, tenant, tag)
  heads[tree] = nil
  if is_last then
    -- the leaf goes; only where the tenant stays do its leaf tags matter
    local key = P .. K.leaves .. place
    call('ZREM', key, path)
    if call('EXISTS', key) == 0 then drop_tenant(tree, tenant); return end
  else
    call('ZADD', P .. K.leaves .. place, whole(leaf_tag + cost), path)
  end
  call('HSET', P .. K.leaf_virtual, place, whole(leaf_tag))
  call('HSET', P .. K.leaf_finish .. place, path, whole(leaf_tag + cost))
  call('ZADD', P .. K.tenants .. tree, whole(tag), tenant)
end

-- ---- parking

local function wake_at(l, at_ms)
  if at_ms then call('ZADD', P .. K.wake, whole(at_ms), l.id) else call('ZREM', P .. K.wake, l.id) end
end

local function park(l, tree, tenant, path, tenant_tag, leaf_tag, opens_at)
  local node, tag
  if l.level == TENANT then
    node, tag = node_name(tree, tenant, ''), tenant_tag
    call('ZREM', P .. K.tenants .. tree, tenant)
  else
    node, tag = node_name(tree, tenant, path), leaf_tag
    local key = P .. K.leaves .. tree .. '\n' .. tenant
    call('ZREM', key, path)
    if call('EXISTS', key) == 0 then call('ZREM', P .. K.tenants .. tree, tenant) end
  end
  heads[tree] = nil
  call('ZADD', P .. K.parked .. l.id, whole(tree_lane(tree) * LANE_RANK + tag), node)
  call('HSET', P .. K.parked_at, node, l.id)
  l.has_parked, l.opens_at = 1, opens_at or 0
  touch(l)
  wake_at(l, opens_at)
end

local function node_ready(tree, tenant, path)
  if path ~= '' then
    if call('EXISTS', P .. K.jobs .. tree .. '\n' .. path) == 1 then leaf_ready(tree, tenant, path) end
  elseif call('EXISTS', P .. K.leaves .. tree .. '\n' .. tenant) == 1 then
    tenant_ready(tree, tenant)
  end
end

-- The first node parked under the limit is ready again; under a tenant's limit all that stand level with it, his other models.
local function unpark(l)
  local key = P .. K.parked .. l.id
  local first = call('ZRANGE', key, 0, 0, 'WITHSCORES')
  local nodes = {first[1]}
  if first[1] and l.level == TENANT then nodes = call('ZRANGEBYSCORE', key, first[2], first[2]) end
  for i = 1, #nodes do
    call('ZREM', key, nodes[i])
    call('HDEL', P .. K.parked_at, nodes[i])
    node_ready(string.match(nodes[i], '^([^\n]*)\n([^\n]*)\n([^\n]*)$'))
  end
  if call('EXISTS', key) == 0 and l.has_parked == 1 then l.has_parked = 0; touch(l) end
end

local function first_parked_lane(l)
  local found = call('ZRANGE', P .. K.parked .. l.id, 0, 0, 'WITHSCORES')
  if #found == 0 then return 9 end
  return math.floor(tonumber(found[2]) / LANE_RANK)
end

local function park_job(l, tree, path, member, cost)
  forget_head_job(tree)
  local key = P .. K.jobs .. tree .. '\n' .. path
  local order = tonumber(call('ZSCORE', key, member))
  call('ZREM', key, member)
  call('ZADD', P .. K.parked_jobs .. l.id, whole(cost), member)
  call('HSET', P .. K.parked_place, l.id .. '\n' .. member, cmsgpack.pack({tree, path, order}))
  if l.has_parked == 0 then l.has_parked = 1; touch(l) end
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
      local record = path_of(place[2])
      if record then leaf_ready(place[1], record[1], place[2]) end
    end
  end
  if call('EXISTS', P .. K.parked_jobs .. l.id) == 0 and l.has_parked == 1 then l.has_parked = 0; touch(l) end
end

local function flush_room()
  if waiting_change ~= 0 then call('INCRBY', P .. K.waiting, waiting_change) end
  local fields = {}
  for plane, tag in pairs(virtual_changed) do fields[#fields + 1] = plane; fields[#fields + 1] = whole(tag) end
  if #fields > 0 then call('HSET', P .. K.virtual, unpack(fields)) end
  for plane, tenants in pairs(finish_changed) do
    local tags = {}
    for tenant, tag in pairs(tenants) do tags[#tags + 1] = tenant; tags[#tags + 1] = whole(tag) end
    for from = 1, #tags, 2000 do call('HSET', P .. K.finish .. plane, unpack(tags, from, math.min(from + 1999, #tags))) end
  end
end
