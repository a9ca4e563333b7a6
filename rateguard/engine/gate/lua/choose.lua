-- Whose turn it is: admission.py, "choosing", name by name. Lanes and their floor, pools in turn, tags; what is closed or paused has no turn.

local FLOOR_CREDIT, NO_LANE, JOB = 19, 9, 2
local parts_of = room.parts_of
local closed_models, closed_trees, credits, last_pool, paused_lanes
fresh(function() closed_models, closed_trees, credits, last_pool, paused_lanes = {}, {}, {}, nil, nil end)

local function credits_of(pool)
  if not credits[pool] then
    local kept = call('HMGET', P .. K.credits, pool .. '|1', pool .. '|2', pool .. '|3', pool .. '|4', pool .. '|5')
    credits[pool] = {was = kept}
    for lane = 1, 5 do credits[pool][lane] = tonumber(kept[lane] or 0) end
  end
  return credits[pool]
end

local function paused_until(lane)
  if not paused_lanes then
    paused_lanes = {}
    local flat = paused_lanes_packed and cmsgpack.unpack(paused_lanes_packed) or {}
    for i = 1, #flat, 2 do paused_lanes[flat[i]] = flat[i + 1] end
  end
  return paused_lanes[lane]
end

local function is_paused(lane)
  local until_ms = paused_until(lane)
  return until_ms and (until_ms == 0 or until_ms > now)
end

-- A list has no room in this call, for a lane and all below it.
local function close_model(model, lane) closed_models[model] = math.min(lane, closed_models[model] or NO_LANE) end

-- A tree has no turn in this call.
local function close_tree(name) closed_trees[name] = true end

local function open_head(name)
  local tree = parts_of(name)
  if tree.lane >= (closed_models[tree.model] or NO_LANE) or closed_trees[name] or is_paused(tree.lane) then return nil end
  if tree.class == JOB and holders.lane_room(tree.lane) <= 0 then return nil end
  return room.first_tenant(name)
end

local function turn_of(pool)
  last_pool = last_pool or last_pool_was
  return pool > last_pool and 0 or pool < last_pool and 1 or 2
end

-- {tag of the user whose turn it is in a tree, order of his head job}; 0 where a node has to be put right first.
local function came(tree)
  local came_of = room.came_of()
  if not came_of[tree] then
    local tenant, user, tag, leaf = room.first_tenant(tree), nil, nil, {}
    if tenant then user, tag = room.first_user(tree, tenant[1]) end
    if user then leaf = call('ZRANGE', P .. K.leaves .. tree .. '\n' .. tenant[1] .. '\n' .. user, 0, 0, 'WITHSCORES') end
    came_of[tree] = {tag or 0, tonumber(leaf[2] or 0)}
  end
  return came_of[tree]
end

local function lane_rank(place) return credits_of(place.pool)[place.lane] >= FLOOR_CREDIT and -place.lane or place.lane end

-- Lanes that are owed their floor first (the lowest first), else by lane, synchronous before jobs, pools in turn, tag. Below 0: the one goes first.
local function compare(name, other_name)
  local tree, other, heads = parts_of(name), parts_of(other_name), room.heads()
  local rank, other_rank = lane_rank(tree), lane_rank(other)
  if rank ~= other_rank then return rank - other_rank end
  if tree.class ~= other.class then return tree.class - other.class end
  if tree.pool ~= other.pool then
    local turn, other_turn = turn_of(tree.pool), turn_of(other.pool)
    if turn ~= other_turn then return turn - other_turn end
    return tree.pool < other.pool and -1 or 1
  end
  return heads[name][2] - heads[other_name][2]
end

-- Tags are equal where one tenant waits for several models: there the user whose turn it is goes first, then the head that came first.
local function came_before(name, other_name)
  local one, other = came(name), came(other_name)
  if one[1] ~= other[1] then return one[1] < other[1] end
  if one[2] ~= other[2] then return one[2] < other[2] end
  return name < other_name
end

local function best_tree()
  local level, best_rank = {}, nil
  for _, group in ipairs(room.known_groups()) do
    local rank = lane_rank(group)
    if not best_rank or rank <= best_rank then
      for name in pairs(group.trees) do
        if open_head(name) then
          local difference = level[1] and compare(name, level[1]) or -1
          if difference < 0 then level, best_rank = {name}, rank elseif difference == 0 then level[#level + 1] = name end
        end
      end
    end
  end
  local best = level[1]
  for i = 2, #level do
    if came_before(level[i], best) then best = level[i] end
  end
  return best
end

-- Whether there is work left to look at: a head that is known already says so at once.
local function has_any_open_head()
  for name in pairs(room.heads()) do
    if open_head(name) then return true end
  end
  return best_tree() ~= nil
end

local function has_open_head(group)
  for name in pairs(group.trees) do
    if open_head(name) then return true end
  end
end

-- Each other lane of the pool with an open head comes a step nearer to its floor.
local function count_floor(name)
  local tree = parts_of(name)
  local own = credits_of(tree.pool)
  own[tree.lane] = math.max(0, own[tree.lane] - FLOOR_CREDIT)
  for _, group in ipairs(room.known_groups()) do
    if group.pool == tree.pool and group.lane ~= tree.lane and has_open_head(group) then
      own[group.lane] = math.min(2 * FLOOR_CREDIT, own[group.lane] + 1)
    end
  end
  last_pool = tree.pool
end

-- When a paused lane goes on; FOREVER where none does by itself.
local function next_resume()
  local resumes = limits.FOREVER
  for lane = 1, 5 do
    local until_ms = paused_until(lane)
    if until_ms and until_ms > now then resumes = math.min(resumes, until_ms) end
  end
  return resumes
end

-- has_granted: whether the last pool moved on.
local function flush(has_granted)
  local fields = {}
  for pool, own in pairs(credits) do
    for lane = 1, 5 do
      if own[lane] ~= tonumber(own.was[lane] or 0) then fields[#fields + 1] = pool .. '|' .. lane; fields[#fields + 1] = own[lane] end
    end
  end
  call_many('HSET', P .. K.credits, fields)
  if has_granted and last_pool ~= last_pool_was then call('SET', P .. K.last_pool, last_pool) end
end

return {
  close_model = close_model, close_tree = close_tree, best_tree = best_tree, has_any_open_head = has_any_open_head, count_floor = count_floor, next_resume = next_resume,
  flush = flush,
}
