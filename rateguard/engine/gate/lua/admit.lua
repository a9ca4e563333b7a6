-- The loop that admits: admission.py, name by name. The head of the best tree is granted, refused, parked, or closes its model for this call.

local SHORTEST_UNSENT_MS, FLOOR_CREDIT, WAKE_JOBS, TAG_SCALE = 200, 19, 16, 100
local granted, refused = {}, {}
local closed_models, closed_limits = {}, {}
local opens_ms, binding, tries = FOREVER, '', 0

local credits = {}
local function credits_of(pool)
  if not credits[pool] then
    local kept = call('HMGET', P .. K.credits, pool .. '|1', pool .. '|2', pool .. '|3', pool .. '|4', pool .. '|5')
    credits[pool] = {was = kept}
    for lane = 1, 5 do credits[pool][lane] = tonumber(kept[lane] or 0) end
  end
  return credits[pool]
end

local cooling
local function cooling_of(target)
  if not cooling then
    cooling = {}
    local flat = call('HGETALL', P .. K.cooling)
    for i = 1, #flat, 2 do
      local until_ms = tonumber(flat[i + 1])
      if until_ms > now then cooling[flat[i]] = until_ms else call('HDEL', P .. K.cooling, flat[i]) end
    end
  end
  return cooling[target] or 0
end

-- ---- waking

local function wake_jobs(l)
  local key, rest = P .. K.parked_jobs .. l.id, l.amount - l.total
  local fitting = call('ZRANGEBYSCORE', key, '-inf', whole(rest), 'LIMIT', 0, WAKE_JOBS)
  local hopeless = call('ZRANGEBYSCORE', key, '(' .. whole(rest + l.reserved), '+inf', 'LIMIT', 0, WAKE_JOBS)
  unpark_jobs(l, fitting)
  unpark_jobs(l, hopeless)
  return math.max(#fitting, #hopeless) == WAKE_JOBS
end

local function wake_due(want)
  local due = call('ZRANGEBYSCORE', P .. K.wake, '-inf', whole(now), 'LIMIT', 0, want + 16)
  load_limits(due)
  for i = 1, #due do
    local l = limits[due[i]]
    if not l then
      call('ZREM', P .. K.wake, due[i])
    else
      local look_again
      if l.kind == BUDGET then
        look_again = wake_jobs(l)
      else
        unpark(l)
        look_again = l.has_parked == 1
      end
      wake_at(l, look_again and now + SECOND_LOOK_MS or nil)
    end
  end
end

-- ---- choosing

local function open_head(name)
  local tree = parts_of(name)
  if closed_models[tree.model] then return nil end
  if tree.class == JOB and lane_room(tree.lane) <= 0 then return nil end
  return first_tenant(name)
end

local last_pool
local function turn_of(pool)
  last_pool = last_pool or call('GET', P .. K.last_pool) or ''
  return pool > last_pool and 0 or pool < last_pool and 1 or 2
end

-- The order of the head job of a tree; 0 where a node has to be put right first.
local function came(tree)
  local head = heads[tree]
  if not head[3] then
    local leaf = call('ZRANGE', P .. K.leaves .. tree .. '\n' .. head[1], 0, 0)
    local job = leaf[1] and call('ZRANGE', P .. K.jobs .. tree .. '\n' .. leaf[1], 0, 0, 'WITHSCORES') or {}
    head[3] = tonumber(job[2] or 0)
  end
  return head[3]
end

local function lane_rank(place) return credits_of(place.pool)[place.lane] >= FLOOR_CREDIT and -place.lane or place.lane end

-- Lanes that are owed their floor first (the lowest first), else by lane, synchronous before jobs, pools in turn, tag, first come.
-- Tags are equal where one tenant waits for several models: there the head that came first must go first, or a large job would starve.
local function goes_before(name, other_name)
  local tree, other = parts_of(name), parts_of(other_name)
  local rank, other_rank = lane_rank(tree), lane_rank(other)
  if rank ~= other_rank then return rank < other_rank end
  if tree.class ~= other.class then return tree.class < other.class end
  if tree.pool ~= other.pool then
    local turn, other_turn = turn_of(tree.pool), turn_of(other.pool)
    if turn ~= other_turn then return turn < other_turn end
    return tree.pool < other.pool
  end
  if heads[name][2] ~= heads[other_name][2] then return heads[name][2] < heads[other_name][2] end
  if came(name) ~= came(other_name) then return came(name) < came(other_name) end
  return name < other_name
end

local function best_tree()
  local best, best_rank
  for _, group in ipairs(known_groups()) do
    local rank = lane_rank(group)
    if not best or rank <= best_rank then
      for name in pairs(group.trees) do
        if open_head(name) and (not best or goes_before(name, best)) then best, best_rank = name, rank end
      end
    end
  end
  return best
end

-- ---- trying

local function most_cost(model, input, max_output)
  local most = 0
  if model then
    for i = 1, #model[2] do most = math.max(most, input * model[2][i][4] + max_output * model[2][i][5]) end
  end
  return math.ceil(most / 1000)
end

-- The job whose turn it is; nil where a node had to be put right first.
local function head_of(tree)
  local first = first_tenant(tree)
  if not first then return nil end
  local tenant, tag = first[1], first[2]
  local leaf = call('ZRANGE', P .. K.leaves .. tree .. '\n' .. tenant, 0, 0, 'WITHSCORES')
  if #leaf == 0 then drop_tenant(tree, tenant); return nil end
  local jobs = call('ZRANGE', P .. K.jobs .. tree .. '\n' .. leaf[1], 0, 1)
  if #jobs == 0 then drop_leaf(tree, tenant, leaf[1], tonumber(leaf[2])); return nil end
  local input, output, max_output, attempt = struct.unpack('>I4I4I4I2', jobs[1], 17)
  local rid = string.sub(jobs[1], 1, 16) .. struct.pack('>I2', attempt + 1)
  if reservation_of(rid) then -- it came in twice, with two estimates
    take_job(tree, leaf[1], jobs[1])
    return nil
  end
  local need = {input = input, output = output, max_output = max_output}
  need.cost = most_cost(model_of(parts_of(tree).model), input, max_output)
  return {tree = tree, tenant = tenant, path = leaf[1], record = path_of(leaf[1]), member = jobs[1], is_last = #jobs == 1, need = need,
    rid = rid, attempt = attempt, tenant_tag = tag, leaf_tag = tonumber(leaf[2])}
end

local function refuse(head, reason, what)
  take_job(head.tree, head.path, head.member)
  local n = #refused
  refused[n + 1], refused[n + 2], refused[n + 3], refused[n + 4] = string.sub(head.member, 1, 16), head.attempt, reason, what
end

local function close(model, what, wait)
  closed_models[model] = true
  if binding == '' then binding = what end
  if wait < FOREVER then opens_ms = math.min(opens_ms, now + wait) end
end

-- As the limit's own wait_ms, but order holds under it: behind a closed or a parked-on limit nobody overtakes in his lane.
local function ordered_wait(l, amount, lane)
  if amount > l.amount then return NEVER end
  if closed_limits[l.id] then return closed_limits[l.id] end
  if l.opens_at > now and l.has_parked == 1 and lane >= first_parked_lane(l) then return l.opens_at - now end
  return wait_ms(l, amount)
end

local function set_aside(head, l, wait)
  if l.kind == BUDGET then
    park_job(l, head.tree, head.path, head.member, head.need.cost)
  elseif l.level == SHARED then
    closed_limits[l.id] = wait
    close(parts_of(head.tree).model, l.id, wait)
  else
    park(l, head.tree, head.tenant, head.path, head.tenant_tag, head.leaf_tag, wait < FOREVER and now + wait or nil)
  end
end

local function path_lets_pass(head)
  local ids, longest, blocker = head.record[3], 0, nil
  load_limits(ids)
  for i = 1, #ids do
    local l = limits[ids[i]]
    if l then
      local wait = ordered_wait(l, need_of(l.metric, head.need), parts_of(head.tree).lane)
      if wait == NEVER then
        refuse(head, l.kind == BUDGET and 'budget_exhausted' or 'exceeds_limit', l.id)
        return false
      end
      if wait > longest then longest, blocker = wait, l end
    end
  end
  if blocker then set_aside(head, blocker, longest) end
  return not blocker
end

local function deployment_wait(deployment, need, lane)
  local longest, blocker = 0, ''
  for i = 1, #deployment[3] do
    local wait = cooling_of(deployment[3][i]) - now
    if wait > longest then longest, blocker = wait, deployment[3][i] end
  end
  load_limits(deployment[2])
  for i = 1, #deployment[2] do
    local l = limits[deployment[2][i]]
    if l then
      local wait = ordered_wait(l, need_of(l.metric, need), lane)
      if wait == NEVER then return NEVER, l.id end
      if wait > longest then longest, blocker = wait, l.id end
    end
  end
  return longest, blocker
end

-- ---- granting

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
  for _, group in ipairs(known_groups()) do
    if group.pool == tree.pool and group.lane ~= tree.lane and has_open_head(group) then
      own[group.lane] = math.min(2 * FLOOR_CREDIT, own[group.lane] + 1)
    end
  end
  last_pool = tree.pool
end

local function charge_all(ids, need, charged_ids, amounts)
  for i = 1, #ids do
    local l = limits[ids[i]]
    if l then
      local amount = need_of(l.metric, need)
      take(l, amount)
      charged_ids[#charged_ids + 1] = l.id; amounts[#amounts + 1] = amount
      if l.has_parked == 1 and l.kind ~= BUDGET and l.opens_at <= now then unpark(l) end
    end
  end
end

-- How long the grant may stay unsent: never so long that a window forgets it before its sending is known.
local function unsent_for(charged_ids)
  local shortest = FOREVER
  for i = 1, #charged_ids do
    local l = limits[charged_ids[i]]
    if l.window_ms > 0 then shortest = math.min(shortest, l.window_ms) end
  end
  return math.min(settings[1], math.max(SHORTEST_UNSENT_MS, math.floor(shortest / 2)))
end

local function grant(head, deployment)
  local need, charged_ids, amounts = head.need, {}, {}
  charge_all(head.record[3], need, charged_ids, amounts)
  charge_all(deployment[2], need, charged_ids, amounts)
  local send_by = now + unsent_for(charged_ids)
  reserve(head.rid, {head.path, head.tree, need.input, need.output, need.max_output, need.cost, now, '', charged_ids, amounts, deployment[1]}, send_by)
  take_job(head.tree, head.path, head.member)
  advance_tags(head.tree, head.tenant, head.path, (need.input + need.max_output) * TAG_SCALE, head.record[2], head.tenant_tag, head.leaf_tag,
    head.is_last)
  count_floor(head.tree)
  granted[#granted + 1] = {head.rid, head.tree, deployment[1], need.cost, send_by, need.input, need.max_output}
end

local function find_deployment(head, model)
  local shortest, what, never, blocked = FOREVER, '', '', {}
  for i = 1, #model[2] do
    local deployment = model[2][i]
    local wait, blocker = deployment_wait(deployment, head.need, parts_of(head.tree).lane)
    if wait == 0 then grant(head, deployment); return end
    if wait == NEVER then
      if never == '' then never = blocker end
    else
      blocked[blocker] = wait
      if wait <= shortest then shortest, what = wait, blocker end
    end
  end
  if never ~= '' and not next(blocked) then refuse(head, 'exceeds_limit', never); return end
  for id, wait in pairs(blocked) do
    if limits[id] then closed_limits[id] = wait end
  end
  close(parts_of(head.tree).model, what, shortest)
end

local function try(tree)
  local head = head_of(tree)
  if not head then return end
  local model = model_of(parts_of(tree).model)
  if not model then
    refuse(head, 'not_configured', parts_of(tree).model)
  elseif path_lets_pass(head) then
    find_deployment(head, model)
  end
end

-- Wakes what is due, then admits. Returns whether it stopped at `want` with work left to look at.
local function admit(want)
  wake_due(want)
  while #granted < want and tries < want * 4 + 64 do
    local tree = best_tree()
    if not tree then return false end
    tries = tries + 1
    try(tree)
  end
  return best_tree() ~= nil
end

local function flush_admission()
  local fields = {}
  for pool, own in pairs(credits) do
    for lane = 1, 5 do
      if own[lane] ~= tonumber(own.was[lane] or 0) then fields[#fields + 1] = pool .. '|' .. lane; fields[#fields + 1] = own[lane] end
    end
  end
  call_many('HSET', P .. K.credits, fields)
  if last_pool and #granted > 0 then call('SET', P .. K.last_pool, last_pool) end
end
