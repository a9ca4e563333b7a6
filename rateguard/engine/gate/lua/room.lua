-- The waiting room: room.py, name by name. Trees (model|class|lane) → tenants → users → leaves → jobs.

local HOUR_MS = 3600000
local groups, group_at, heads, came_of
local virtual, virtual_changed, finish, finish_changed, has_parked_jobs, waiting_change
fresh(function()
  groups, group_at, heads, came_of = nil, nil, {}, {}
  virtual, virtual_changed, finish, finish_changed, has_parked_jobs, waiting_change = {}, {}, {}, {}, nil, 0
end)

local function node_name(tree, tenant, path) return tree .. '\n' .. tenant .. '\n' .. path end

-- The parts of a tree 'list|class|lane'; base: the list without marks; plane: what shares finish tags.
local function parts_of(tree)
  local found = cached.trees[tree]
  if not found then
    local model = string.sub(tree, 1, -5)
    local pool, base = lists.pool_of(model)
    found = {model = model, base = base, class = tonumber(string.sub(tree, -3, -3)), lane = tonumber(string.sub(tree, -1)), pool = pool,
      plane = pool .. string.sub(tree, -4)}
    cached.trees[tree] = found
    cached.size = cached.size + 1
  end
  return found
end

-- The trees with a ready tenant, by pool and lane: a list of {pool, lane, trees = {name = true}}, lower lanes behind.
local function add_tree(name)
  local tree = parts_of(name)
  local key = tree.pool .. '|' .. tree.lane
  if not group_at[key] then
    group_at[key] = {pool = tree.pool, lane = tree.lane, trees = {}}
    groups[#groups + 1] = group_at[key]
  end
  group_at[key].trees[name] = true
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
local function drop_tree(name)
  call('SREM', P .. K.trees, name)
  if groups then
    local tree = parts_of(name)
    local group = group_at[tree.pool .. '|' .. tree.lane]
    if group then group.trees[name] = nil end
  end
end

-- ---- tags. A place is a plane (its tenants), or plane \n tenant (his users, as far as served in this hour or the last). Written at the end.

local function virtual_of(place)
  if not virtual[place] then virtual[place] = tonumber(call('HGET', P .. K.virtual, place) or 0) end
  return virtual[place]
end
local function tags_of(place)
  if not finish[place] then finish[place] = {} end
  return finish[place]
end
local function finish_of(plane, tenant)
  local tags = tags_of(plane)
  if not tags[tenant] then tags[tenant] = tonumber(call('HGET', P .. K.finish .. plane, tenant) or 0) end
  return tags[tenant]
end
local function user_key(place, hour) return string.format('%s%s%d\n%s', P, K.user_finish, hour, place) end
local function finish_of_user(place, user)
  local tags, hour = tags_of(place), math.floor(now / HOUR_MS)
  if not tags[user] then
    tags[user] = tonumber(call('HGET', user_key(place, hour), user) or call('HGET', user_key(place, hour - 1), user) or 0)
  end
  return tags[user]
end
local function load_virtual(plane, place)
  if virtual[plane] and virtual[place] then return end
  local found = call('HMGET', P .. K.virtual, plane, place)
  virtual[plane], virtual[place] = virtual[plane] or tonumber(found[1] or 0), virtual[place] or tonumber(found[2] or 0)
end
local function served(place, member, tag, ends)
  if tag > virtual_of(place) then virtual[place] = tag; virtual_changed[place] = tag end
  tags_of(place)[member] = ends
  if not finish_changed[place] then finish_changed[place] = {} end
  finish_changed[place][member] = ends
end

-- ---- ready nodes

local function forget_head(tree) heads[tree] = nil; came_of[tree] = nil end

local function tenant_ready(tree, tenant)
  if call('HEXISTS', P .. K.parked_at, node_name(tree, tenant, '')) == 1 then return end
  local plane = parts_of(tree).plane
  local tag = math.max(virtual_of(plane), finish_of(plane, tenant))
  if call('ZADD', P .. K.tenants .. tree, 'NX', whole(tag), tenant) == 1 then
    call('SADD', P .. K.trees, tree)
    if groups then add_tree(tree) end
    heads[tree] = nil
  end
end

local function user_ready(tree, tenant, user)
  local place = parts_of(tree).plane .. '\n' .. tenant
  call('ZADD', P .. K.users .. tree .. '\n' .. tenant, 'NX', whole(math.max(virtual_of(place), finish_of_user(place, user))), user)
  came_of[tree] = nil
  tenant_ready(tree, tenant)
end

-- A leaf has work: it stands among its user's at its head's order, unless it is parked.
local function leaf_ready(tree, path)
  local split = paths.parts_of(path)
  if call('HEXISTS', P .. K.parked_at, node_name(tree, split.tenant, path)) == 1 then return end
  local head = call('ZRANGE', P .. K.jobs .. tree .. '\n' .. path, 0, 0, 'WITHSCORES')
  if #head == 0 then return end
  call('ZADD', P .. K.leaves .. tree .. '\n' .. split.tenant .. '\n' .. split.user, head[2], path)
  user_ready(tree, split.tenant, split.user)
end

-- {tenant, tag} whose turn it is, or nil; a tree without one is no longer looked at.
-- Who was served through another model of the pool first gets his newer tag.
local function first_tenant(tree)
  local key, plane = P .. K.tenants .. tree, parts_of(tree).plane
  local head = heads[tree]
  while not head or finish_of(plane, head[1]) > head[2] do
    if head then call('ZADD', key, whole(finish_of(plane, head[1])), head[1]) end
    came_of[tree] = nil
    local found = call('ZRANGE', key, 0, 0, 'WITHSCORES')
    if #found == 0 then
      heads[tree] = nil
      drop_tree(tree)
      return nil
    end
    head = {found[1], tonumber(found[2])}
    heads[tree] = head
  end
  return head
end

-- The same for the users of a tenant: user, tag; nil where there is none.
local function first_user(tree, tenant)
  local key, place = P .. K.users .. tree .. '\n' .. tenant, parts_of(tree).plane .. '\n' .. tenant
  while true do
    local found = call('ZRANGE', key, 0, 0, 'WITHSCORES')
    if #found == 0 then return nil end
    local tag = tonumber(found[2])
    local newer = finish_of_user(place, found[1])
    if newer <= tag then return found[1], tag end
    call('ZADD', key, whole(newer), found[1])
  end
end

local function drop_tenant(tree, tenant)
  call('ZREM', P .. K.tenants .. tree, tenant)
  forget_head(tree)
end

local function drop_user(tree, tenant, user)
  local key = P .. K.users .. tree .. '\n' .. tenant
  call('ZREM', key, user)
  came_of[tree] = nil
  if call('EXISTS', key) == 0 then drop_tenant(tree, tenant) end
end

local function drop_leaf(tree, path)
  local split = paths.parts_of(path)
  local key = P .. K.leaves .. tree .. '\n' .. split.tenant .. '\n' .. split.user
  call('ZREM', key, path)
  came_of[tree] = nil
  if call('EXISTS', key) == 0 then drop_user(tree, split.tenant, split.user) end
end

-- A leaf stands where its head job belongs (its order, given or read). False: it had to be moved, or had no job.
local function put_right(tree, path, head, stands_at)
  head = head or call('ZRANGE', P .. K.jobs .. tree .. '\n' .. path, 0, 0, 'WITHSCORES')[2]
  if not head then drop_leaf(tree, path); return false end
  if head == stands_at then return true end
  local split = paths.parts_of(path)
  call('ZADD', P .. K.leaves .. tree .. '\n' .. split.tenant .. '\n' .. split.user, head, path)
  came_of[tree] = nil
  return false
end

-- A job leaves its leaf. following: the order of the next one, false where it is the last, nil if not known.
local function leave(tree, path, member, following)
  call('ZREM', P .. K.jobs .. tree .. '\n' .. path, member)
  came_of[tree] = nil
  if following == false then drop_leaf(tree, path) else put_right(tree, path, following) end
end

-- It was granted or refused.
local function take_job(tree, path, member, following)
  waiting_change = waiting_change - 1
  leave(tree, path, member, following)
end

-- It waits on elsewhere.
local function step_aside(tree, path, member, following)
  has_parked_jobs = true
  leave(tree, path, member, following)
end

local function advance_tags(tree, path, tenant_tag, user_tag, cost)
  local plane, tenant, user = parts_of(tree).plane, path.tenant, path.user
  local tenant_ends, user_ends = tenant_tag + math.floor(cost / path.weight), user_tag + math.floor(cost / path.user_weight)
  local place = plane .. '\n' .. tenant
  load_virtual(plane, place)
  served(plane, tenant, tenant_tag, tenant_ends)
  served(place, user, user_tag, user_ends)
  call('ZADD', P .. K.tenants .. tree, whole(tenant_ends), tenant)
  call('ZADD', P .. K.users .. tree .. '\n' .. tenant, whole(user_ends), user)
  heads[tree], came_of = nil, {} -- a user served here stands further behind in the other trees of the plane too
end

-- ---- coming in and going out

-- The budget among these limits under which a job is parked, or nil.
local function parked_under(ids, member)
  if has_parked_jobs == nil then has_parked_jobs = call('EXISTS', P .. K.parked_place) == 1 end
  if not has_parked_jobs then return nil end
  for i = 1, #ids do
    if call('HEXISTS', P .. K.parked_place, ids[i] .. '\n' .. member) == 1 then return ids[i] end
  end
end

-- jobs: flat tree, path, member, order; those of one leaf go in by one command. Calls unknown(member, node) where a node is not configured.
local function enqueue_all(jobs, unknown)
  local leaves, members = {}, {}
  for i = 1, #jobs, 4 do
    local tree, path, member = jobs[i], jobs[i + 1], jobs[i + 2]
    local record, missing = paths.resolve(path)
    local leaf = tree .. '\n' .. path
    if not record then
      unknown(member, missing)
    elseif not parked_under(record.limits, member) then
      if not members[leaf] then
        leaves[#leaves + 1] = {leaf, tree, path}
        members[leaf] = {}
      end
      local list = members[leaf]
      list[#list + 1] = whole(jobs[i + 3]); list[#list + 1] = member
    end
  end
  for i = 1, #leaves do
    local added, list = 0, members[leaves[i][1]]
    local key = P .. K.jobs .. leaves[i][1]
    for from = 1, #list, 2000 do added = added + call('ZADD', key, 'NX', unpack(list, from, math.min(from + 1999, #list))) end
    if added > 0 then
      waiting_change = waiting_change + added
      leaf_ready(leaves[i][2], leaves[i][3])
    end
  end
end

local function withdraw(tree, path, member)
  waiting_change = waiting_change - call('ZREM', P .. K.jobs .. tree .. '\n' .. path, member)
  came_of[tree] = nil
  local record = paths.resolve(path)
  local budget = record and parked_under(record.limits, member)
  if budget then
    call('ZREM', P .. K.parked_jobs .. budget, member)
    call('HDEL', P .. K.parked_place, budget .. '\n' .. member)
    waiting_change = waiting_change - 1
  end
end

-- ---- writing

local function flush_tags(place, tags)
  local of_users = string.find(place, '\n', 1, true)
  local key, fields = of_users and user_key(place, math.floor(now / HOUR_MS)) or P .. K.finish .. place, {}
  for member, tag in pairs(tags) do fields[#fields + 1] = member; fields[#fields + 1] = whole(tag) end
  local added = call_many('HSET', key, fields)
  if of_users and added > 0 then call('EXPIRE', key, 3 * HOUR_MS / 1000) end
end

local function flush_room()
  if waiting_change ~= 0 then call('INCRBY', P .. K.waiting, waiting_change) end
  local fields = {}
  for place, tag in pairs(virtual_changed) do fields[#fields + 1] = place; fields[#fields + 1] = whole(tag) end
  call_many('HSET', P .. K.virtual, fields)
  for place, tags in pairs(finish_changed) do flush_tags(place, tags) end
end

return {
  node_name = node_name, parts_of = parts_of, known_groups = known_groups,
  first_tenant = first_tenant, first_user = first_user, leaf_ready = leaf_ready, tenant_ready = tenant_ready, drop_tenant = drop_tenant, drop_user = drop_user,
  drop_leaf = drop_leaf, put_right = put_right, take_job = take_job, advance_tags = advance_tags, enqueue_all = enqueue_all, withdraw = withdraw,
  step_aside = step_aside, flush = flush_room, heads = function() return heads end, came_of = function() return came_of end,
}
