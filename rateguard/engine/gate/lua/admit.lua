-- The loop that admits: admission.py, name by name. The head of the best tree is granted, refused, parked, or closes its model for this call.

local SHORTEST_UNSENT_MS, WAKE_JOBS, TAG_SCALE = 200, 16, 100
local SECOND_LOOK_MS, WAKE_NODES, SHARED = 100, 1000, 0
local NEVER, DOWNGRADE, FOREVER = limits.NEVER, limits.DOWNGRADE, limits.FOREVER
local WINDOW, BUDGET, PAUSE, HOLD = limits.WINDOW, limits.BUDGET, limits.PAUSE, rules.HOLD
local need_of, limit_of, parts_of = rules.need_of, limits.of, room.parts_of
local granted, refused, closed_limits, opens_ms, binding, tries, cooling
fresh(function() granted, refused, closed_limits, opens_ms, binding, tries, cooling = {}, {}, {}, FOREVER, '', 0, nil end)

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

-- Jobs that fit the rest, and jobs that never will, are tried again. Returns when to look again, or nil.
local function wake_jobs(l, want)
  local key, rest, most = P .. K.parked_jobs .. l.id, l.record.amount - l.total, want + WAKE_JOBS
  local is_held = l.record.on_exhausted == HOLD
  local fitting = call('ZRANGEBYSCORE', key, '-inf', whole(rest), 'LIMIT', 0, most)
  local hopeless = call('ZRANGEBYSCORE', key, '(' .. whole(is_held and l.record.amount or rest + l.aside), '+inf', 'LIMIT', 0, most)
  parking.unpark_jobs(l, fitting)
  parking.unpark_jobs(l, hopeless)
  if math.max(#fitting, #hopeless) == most then return now + 1 end
  local wait = rules.next_period_ms(l)
  return l.has_parked == 1 and wait < FOREVER and now + wait or nil
end

local function wake_due(want)
  if parking.next_wake() > now then return end
  local due = call('ZRANGEBYSCORE', P .. K.wake, '-inf', whole(now), 'LIMIT', 0, want + 16)
  limits.load(due)
  for i = 1, #due do
    local l, again_ms = limit_of(due[i]), nil
    if l and l.kind == BUDGET then
      again_ms = wake_jobs(l, want)
    elseif l then
      parking.unpark(l, l.kind == PAUSE and WAKE_NODES or 1)
      again_ms = l.has_parked == 1 and now + SECOND_LOOK_MS or nil
    end
    parking.wake_at(due[i], again_ms)
  end
end

-- ---- trying

local function most_cost(model, input, max_output)
  local most = 0
  for i = 1, model and #model.deployments or 0 do
    most = math.max(most, input * model.deployments[i].input_pico + max_output * model.deployments[i].output_pico)
  end
  return math.ceil(most / 1000)
end

local function add_refused(member, attempt, reason, what)
  local n = #refused
  refused[n + 1], refused[n + 2], refused[n + 3], refused[n + 4] = string.sub(member, 1, 16), attempt, reason, what
end

-- The job whose turn it is; nil where a node had to be put right first.
local function head_of(tree)
  local first = room.first_tenant(tree)
  if not first then return nil end
  local tenant, tenant_tag = first[1], first[2]
  local user, user_tag = room.first_user(tree, tenant)
  local leaf = user and call('ZRANGE', P .. K.leaves .. tree .. '\n' .. tenant .. '\n' .. user, 0, 0, 'WITHSCORES') or {}
  if #leaf == 0 then room.drop_user(tree, tenant, user or ''); return nil end
  local jobs = call('ZRANGE', P .. K.jobs .. tree .. '\n' .. leaf[1], 0, 1, 'WITHSCORES')
  if not room.put_right(tree, leaf[1], jobs[2], leaf[2]) then return nil end
  local member, following = jobs[1], jobs[4] or false
  local input, output, max_output, attempt = struct.unpack('>I4I4I4I2', member, 17)
  local rid = string.sub(member, 1, 16) .. struct.pack('>I2', attempt + 1)
  local path, missing = paths.resolve(leaf[1])
  if not path or reservations.of(rid) then -- not known any more; or it came in twice, with two estimates
    room.take_job(tree, leaf[1], member, following)
    if not path then add_refused(member, attempt, 'not_configured', missing) end
    return nil
  end
  local need = {input = input, output = output, max_output = max_output}
  need.cost = most_cost(lists.of(parts_of(tree).model), input, max_output)
  return {tree = tree, lane = parts_of(tree).lane, path = path, member = member, order = tonumber(jobs[2]), following = following, need = need,
    rid = rid, attempt = attempt, tenant_tag = tenant_tag, user_tag = user_tag}
end

local function refuse(head, reason, what)
  room.take_job(head.tree, head.path.id, head.member, head.following)
  add_refused(head.member, head.attempt, reason, what)
end

local function close_limit(id, wait, lane)
  local known = closed_limits[id]
  closed_limits[id] = {wait, known and math.min(lane, known[2]) or lane}
end

local function note_closed(wait, what)
  if binding == '' then binding = what end
  if wait < FOREVER then opens_ms = math.min(opens_ms, now + wait) end
end

-- As the limit's own wait_ms, but order holds under it: behind a closed or a parked-on limit nobody overtakes in his lane.
local function ordered_wait(l, amount, lane)
  local closed = closed_limits[l.id]
  local is_closed = closed and lane >= closed[2]
  if is_closed or l.opens_at > now and l.has_parked == 1 then
    if l.kind ~= BUDGET and l.kind ~= PAUSE and amount > rules.bound_for(l, lane) then return NEVER end
    if is_closed then return closed[1] end
    if lane >= parking.first_parked_lane(l) then return l.opens_at - now end
  end
  return rules.wait_ms(l, amount, lane)
end

local function set_aside(head, l, wait)
  local opens_at = wait < FOREVER and now + wait or nil
  if l.kind == BUDGET then
    local rest = need_of(l.record.metric, head.need) + l.record.amount - rules.amount_for(l.record, head.lane)
    parking.park_job(l, head.tree, head.path.id, head.member, head.order, rest, head.following, head.path.tenant)
    if opens_at then parking.wake_by(l.id, opens_at) end
  elseif l.record.level == SHARED then
    close_limit(l.id, wait, head.lane)
    choosing.close_model(parts_of(head.tree).model, head.lane)
    note_closed(wait, l.id)
  else
    parking.park(l, head.tree, head.path, head.order, head.tenant_tag, head.user_tag, opens_at)
  end
end

-- The first job that a budget can no longer pay: people hear of it as of all spent.
local function note_exhausted(l, amount, wait)
  if l.kind ~= BUDGET or wait == 0 then return end
  if amount <= l.record.amount and l.record.amount < l.total - l.aside + amount then notices.thresholds(l, true) end
end

-- Why a job can never pass a limit of its path; nil where it can.
local function reason_of(l, wait, tenant)
  if wait == DOWNGRADE then return 'downgrade' end
  if wait == NEVER then return l.kind == BUDGET and 'budget_exhausted' or 'exceeds_limit' end
  if limits.is_new_node(l) and limits.nodes_of(tenant) >= settings[4] then return 'too_many_nodes' end
end

-- The limits of a path and of all deployments that its job may go to, with what is known of them: read at once.
local function all_limits(path, name)
  if not path.all then path.all = {} end
  local all = path.all[name]
  if not all then
    local model, ids = lists.of(name), {unpack(path.limits)}
    for i = 1, model and #model.deployments or 0 do
      for _, id in ipairs(model.deployments[i].limits) do ids[#ids + 1] = id end
    end
    all = {ids = ids, known = limits.describe(ids)}
    path.all[name] = all
  end
  return all.ids, all.known
end

-- Where the path's other limits have room, one more of those parked under each may try in its place.
local function path_lets_pass(head)
  local ids, longest, blocker, free = head.path.limits, 0, nil, nil
  limits.load(all_limits(head.path, parts_of(head.tree).base))
  for i = 1, #ids do
    local l = limit_of(ids[i])
    if l then
      local amount = need_of(l.record.metric, head.need)
      local wait = ordered_wait(l, amount, head.lane)
      if wait ~= 0 then note_exhausted(l, amount, wait) end
      local reason = reason_of(l, wait, head.path.tenant)
      if reason then refuse(head, reason, l.id); return false end
      if wait > longest then
        longest, blocker = wait, l
      elseif wait == 0 and l.has_parked == 1 and l.kind ~= BUDGET then
        free = free or {}
        free[#free + 1] = l
      end
    end
  end
  if not blocker then return true end
  set_aside(head, blocker, longest)
  for i = 1, free and #free or 0 do parking.unpark(free[i]) end
  return false
end

local function deployment_wait(deployment, head)
  local need, lane = head.need, head.lane
  local longest, blocker = breaker.wait_ms(deployment.id, deployment.rule), ''
  if longest > 0 then blocker = 'breaker:' .. deployment.id end
  for i = 1, #deployment.cools do
    local wait = cooling_of(deployment.cools[i]) - now
    if wait > longest then longest, blocker = wait, deployment.cools[i] end
  end
  limits.load(deployment.limits)
  for i = 1, #deployment.limits do
    local l = limit_of(deployment.limits[i])
    if l then
      local wait = ordered_wait(l, need_of(l.record.metric, need), lane)
      if wait == NEVER then return NEVER, l.id end
      if wait > longest then longest, blocker = wait, l.id end
    end
  end
  return longest, blocker
end

-- ---- granting

-- Take what the attempt needs of each limit; one more of those parked under it may try. charged: {ids, amounts} of those that settle to what was
-- used, and of those that do not. Returns the shortest window.
local function charge_all(ids, head, charged, settled, shortest)
  for i = 1, #ids do
    local l = limit_of(ids[i])
    if l and l.kind ~= PAUSE then
      local amount, into = need_of(l.record.metric, head.need), rules.is_settled(l) and settled or charged
      rules.take(l, amount, head.path.tenant)
      into[1][#into[1] + 1] = l.id; into[2][#into[2] + 1] = amount
      if l.has_parked == 1 and l.kind ~= BUDGET and l.opens_at <= now then parking.unpark(l) end
      if l.kind == WINDOW then shortest = math.min(shortest, l.record.window_ms) end
    end
  end
  return shortest
end

local function grant(head, deployment)
  local need, charged, settled = head.need, {{}, {}}, {{}, {}}
  local shortest = charge_all(head.path.limits, head, charged, settled, FOREVER)
  shortest = charge_all(deployment.limits, head, charged, settled, shortest)
  -- never so long unsent that a window forgets it before its sending is known
  local send_by = now + math.min(settings[1], math.max(SHORTEST_UNSENT_MS, math.floor(shortest / 2)))
  local generation = breaker.grant(deployment.id, deployment.rule, head.rid)
  reservations.reserve(head.rid, {head.path.id, head.tree, need.input, need.output, need.max_output, need.cost, now, '', charged[1], charged[2],
    deployment.id, generation, settled[1], settled[2]}, send_by)
  room.advance_tags(head.tree, head.path, head.tenant_tag, head.user_tag, (need.input + need.max_output) * TAG_SCALE)
  room.take_job(head.tree, head.path.id, head.member, head.following)
  choosing.count_floor(head.tree)
  granted[#granted + 1] = {head.rid, head.tree, deployment.id, need.cost, send_by, need.input, need.max_output}
end

-- Others may fit where this one never does: it alone waits, under a limit that is in its way. False: none of these is a limit.
local function wait_alone(head, blocked)
  local shortest, what = asking.shortest(blocked)
  local l = limit_of(what)
  for i = 1, #blocked, 2 do l = l or limit_of(blocked[i]) end
  if not l then return false end
  parking.park(l, head.tree, head.path, head.order, head.tenant_tag, head.user_tag, shortest < FOREVER and now + shortest or nil)
  return true
end

-- A list has no room now; where one would have it but for its wait, only this tree: others may have waited longer.
local function close_list(head, blocked, is_held)
  for i = 1, #blocked, 2 do
    if limit_of(blocked[i]) then close_limit(blocked[i], blocked[i + 1], head.lane) end
  end
  if is_held then choosing.close_tree(head.tree) else choosing.close_model(parts_of(head.tree).model, head.lane) end
  note_closed(asking.shortest(blocked))
end

-- One of the deployments with room takes the job. Where none has, the list is closed in this call; where none ever could, the job is refused.
local function find_deployment(head, model)
  local fitting, never, blocked, is_held = asking.ask(model, head, deployment_wait)
  if fitting then
    grant(head, lists.choose(model, fitting, head.rid))
  elseif never ~= '' and #blocked == 0 then
    refuse(head, 'exceeds_limit', never)
  elseif never == '' or not wait_alone(head, blocked) then
    close_list(head, blocked, is_held)
  end
end

local function try(tree)
  local head = head_of(tree)
  if not head then return end
  local model = lists.of(parts_of(tree).model)
  if not model then
    refuse(head, 'not_configured', parts_of(tree).base)
  elseif path_lets_pass(head) then
    find_deployment(head, model)
  end
end

-- Wakes what is due, then admits. Returns whether it stopped at `want` with work left to look at.
local function admit(want)
  wake_due(want)
  while #granted < want and tries < want * 4 + 64 do
    local tree = choosing.best_tree()
    if not tree then return false end
    tries = tries + 1
    try(tree)
  end
  return choosing.has_any_open_head()
end

-- When to step again although nobody settles: 0 or a moment after now.
local function next_ready()
  opens_ms = math.min(opens_ms, parking.next_wake(), choosing.next_resume())
  return opens_ms < FOREVER and math.max(opens_ms, now + 1) or 0
end

return {
  admit = admit, refuse = add_refused, next_ready = next_ready, flush = function() choosing.flush(#granted > 0) end,
  outcome = function() return granted, refused, binding end,
}
