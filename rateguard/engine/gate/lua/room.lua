-- The waiting room: room.py, name by name. Trees (model|class|lane) → tenants → leaves → jobs, and the nodes parked under limits.

local SECOND_LOOK_MS, LANE_RANK = 100, 10 ^ 15
local SHARED, TENANT = 0, 1
local paths, models, heads = {}, {}, {}
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

local function node_name(tree, tenant, path) return tree .. '\n' .. tenant .. '\n' .. path end

-- The parts of a tree 'model|class|lane', and its plane: what shares finish tags.
local parts = {}
local function parts_of(tree)
  local found = parts[tree]
  if not found then
    local model = string.sub(tree, 1, -5)
    local pool = call('HGET', P .. K.pools, model) or model
    found = {model = model, class = tonumber(string.sub(tree, -3, -3)), lane = tonumber(string.sub(tree, -1)), pool = pool,
      plane = pool .. string.sub(tree, -4)}
    parts[tree] = found
  end
  return found
end

-- The trees with a ready tenant, by pool and lane: a list of {pool, lane, trees = {name = true}}, lower lanes behind.
local groups, group_at
local function add_tree(name)
  local tree = parts_of(name)
  local key = tree.pool .. '|' .. tree.lane
  if not group_at[key] then
    group_at[key] = {pool = tree.pool, lane = tree.lane, trees = {}}
    groups[#groups + 1] = group_at[key]
  end
  tree.group = group_at[key]
  tree.group.trees[name] = true
end
local function known_groups()
  if not groups then
    groups, group_at = {}, {}
    local members = call('SMEMBERS', P .. K.trees)
    for i = 1, #members do add_tree(members[i]) end
    table.sort(groups, function(one, other) return one.lane < other.lane end)
  end
  return groups
end

-- Virtual times and finish tags that this call touched; written once at the end.
local virtual, finish, finish_changed = {}, {}, {}
local function virtual_of(plane)
  if not virtual[plane] then virtual[plane] = tonumber(call('HGET', P .. K.virtual, plane) or 0) end
  return virtual[plane]
end
local function finish_of(plane, tenant)
  local tags = finish[plane]
  if not tags then tags = {}; finish[plane] = tags end
  if not tags[tenant] then tags[tenant] = tonumber(call('HGET', P .. K.finish .. plane, tenant) or 0) end
  return tags[tenant]
end
local function set_finish(plane, tenant, tag)
  finish[plane][tenant] = tag
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
  local plane = parts_of(tree).plane
  call('ZADD', key, whole(math.max(virtual_of(plane), finish_of(plane, tenant))), tenant)
  call('SADD', P .. K.trees, tree)
  if groups then add_tree(tree) end
  heads[tree] = nil
end

-- The tag of the leaf that was served last; a leaf that goes leaves its own tag in leaf_finish.
local leaf_virtual, leaf_virtual_changed = {}, {}
local function leaf_virtual_of(place)
  if not leaf_virtual[place] then leaf_virtual[place] = tonumber(call('HGET', P .. K.leaf_virtual, place) or 0) end
  return leaf_virtual[place]
end
local function set_leaf_virtual(place, tag)
  leaf_virtual[place], leaf_virtual_changed[place] = tag, tag
end
local function remember_leaf(place, path, tag) call('HSET', P .. K.leaf_finish .. place, path, whole(tag)) end

local function leaf_ready(tree, tenant, path)
  forget_head_job(tree)
  if call('HEXISTS', P .. K.parked_at, node_name(tree, tenant, path)) == 1 then return end
  local place = tree .. '\n' .. tenant
  local key = P .. K.leaves .. place
  if not call('ZSCORE', key, path) then
    local ends = call('HGET', P .. K.leaf_finish .. place, path)
    if ends then call('HDEL', P .. K.leaf_finish .. place, path) end
    call('ZADD', key, whole(math.max(leaf_virtual_of(place), tonumber(ends or 0))), path)
  end
  tenant_ready(tree, tenant)
end

-- The budget among these limits under which a job is parked, or nil.
local has_parked_jobs
local function parked_under(ids, member)
  if has_parked_jobs == nil then has_parked_jobs = call('EXISTS', P .. K.parked_place) == 1 end
  if not has_parked_jobs then return nil end
  for i = 1, #ids do
    if call('HEXISTS', P .. K.parked_place, ids[i] .. '\n' .. member) == 1 then return ids[i] end
  end
end

-- jobs: flat tree, path, member, order; those of one leaf go in by one command. Calls unknown(member, path) where a path is not configured.
local function enqueue_all(jobs, unknown)
  local leaves, members = {}, {}
  for i = 1, #jobs, 4 do
    local tree, path, member = jobs[i], jobs[i + 1], jobs[i + 2]
    local record, leaf = path_of(path), tree .. '\n' .. path
    if not record then
      unknown(member, path)
    elseif not parked_under(record[3], member) then
      if not members[leaf] then
        leaves[#leaves + 1] = {leaf, tree, record[1], path}
        members[leaf] = {}
      end
      local list = members[leaf]
      list[#list + 1] = jobs[i + 3]; list[#list + 1] = member
    end
  end
  for i = 1, #leaves do
    local leaf, tree, tenant, path = unpack(leaves[i])
    local added, list = 0, members[leaf]
    for from = 1, #list, 2000 do added = added + call('ZADD', P .. K.jobs .. leaf, 'NX', unpack(list, from, math.min(from + 1999, #list))) end
    if added > 0 then
      waiting_change = waiting_change + added
      leaf_ready(tree, tenant, path)
    end
  end
end

local function withdraw(tree, path, member)
  local record = path_of(path)
  if not record then return end
  waiting_change = waiting_change - call('ZREM', P .. K.jobs .. tree .. '\n' .. path, member)
  local budget = parked_under(record[3], member)
  if budget then
    call('ZREM', P .. K.parked_jobs .. budget, member)
    call('HDEL', P .. K.parked_place, budget .. '\n' .. member)
    waiting_change = waiting_change - 1
  end
end

local function take_job(tree, path, member)
  forget_head_job(tree)
  call('ZREM', P .. K.jobs .. tree .. '\n' .. path, member)
  waiting_change = waiting_change - 1
end

-- {tenant, tag} whose turn it is, or nil; a tree without one is no longer looked at.
-- Who was served through another model of the pool first gets his newer tag.
local function first_tenant(tree)
  local key, plane = P .. K.tenants .. tree, parts_of(tree).plane
  local head = heads[tree]
  while not head or finish_of(plane, head[1]) > head[2] do
    if head then call('ZADD', key, whole(finish_of(plane, head[1])), head[1]) end
    local found = call('ZRANGE', key, 0, 0, 'WITHSCORES')
    if #found == 0 then
      heads[tree] = nil
      call('SREM', P .. K.trees, tree)
      if groups then parts_of(tree).group.trees[tree] = nil end
      return nil
    end
    head = {found[1], tonumber(found[2])}
    heads[tree] = head
  end
  return head
end

local function drop_tenant(tree, tenant)
  local place = tree .. '\n' .. tenant
  call('ZREM', P .. K.tenants .. tree, tenant)
  call('DEL', P .. K.leaf_finish .. place)
  call('HDEL', P .. K.leaf_virtual, place)
  leaf_virtual[place], leaf_virtual_changed[place] = 0, nil
  heads[tree] = nil
end

-- The leaf goes; only where the tenant stays does its tag matter.
local function drop_leaf(tree, tenant, path, leaf_tag)
  forget_head_job(tree)
  local place = tree .. '\n' .. tenant
  call('ZREM', P .. K.leaves .. place, path)
  if call('EXISTS', P .. K.leaves .. place) == 0 then drop_tenant(tree, tenant); return end
  remember_leaf(place, path, leaf_tag)
end

local function advance_tags(tree, tenant, path, cost, weight, tenant_tag, leaf_tag, is_last)
  local plane, place = parts_of(tree).plane, tree .. '\n' .. tenant
  set_virtual(plane, math.max(virtual_of(plane), tenant_tag))
  local tag = tenant_tag + math.floor(cost / weight)
  set_finish(plane, tenant, tag)
  heads[tree] = nil
  set_leaf_virtual(place, leaf_tag)
  call('ZADD', P .. K.tenants .. tree, whole(tag), tenant)
  if is_last then
    drop_leaf(tree, tenant, path, leaf_tag + cost)
  else
    call('ZADD', P .. K.leaves .. place, whole(leaf_tag + cost), path)
  end
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
    local place = tree .. '\n' .. tenant
    call('ZREM', P .. K.leaves .. place, path)
    if call('EXISTS', P .. K.leaves .. place) == 0 then call('ZREM', P .. K.tenants .. tree, tenant) end
    remember_leaf(place, path, leaf_tag)
  end
  heads[tree] = nil
  call('ZADD', P .. K.parked .. l.id, whole(parts_of(tree).lane * LANE_RANK + tag), node)
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
  call_many('HSET', P .. K.virtual, fields)
  fields = {}
  for place, tag in pairs(leaf_virtual_changed) do fields[#fields + 1] = place; fields[#fields + 1] = whole(tag) end
  call_many('HSET', P .. K.leaf_virtual, fields)
  for plane, tenants in pairs(finish_changed) do
    local tags = {}
    for tenant, tag in pairs(tenants) do tags[#tags + 1] = tenant; tags[#tags + 1] = whole(tag) end
    call_many('HSET', P .. K.finish .. plane, tags)
  end
end
