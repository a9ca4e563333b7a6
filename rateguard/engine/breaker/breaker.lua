-- The breakers of all deployments: breaker.py, name by name. One packed array a deployment:
-- {state, generation, until_ms, probe or '', successes, window_ms, head, counts}; counts: calls, failures and slow calls of each slice.

local CLOSED, OPEN, HALF_OPEN = 0, 1, 2
local NAMES = {[0] = 'closed', 'open', 'half_open'}
local NONE, FAILURE = 0, 2
local NOT_FORCED, FORCED_OPEN = 0, 2
local SLICES, GENERATIONS = 10, 1000000
local FOREVER = limits.FOREVER

local found, changed -- of this call
fresh(function() found, changed = {}, {} end)

local function no_counts()
  local counts = {}
  for i = 1, (SLICES + 1) * 3 do counts[i] = 0 end
  return counts
end

local function of(deployment)
  local b = found[deployment]
  if not b then
    local raw = call('HGET', P .. K.breakers, deployment)
    if raw then
      local f = cmsgpack.unpack(raw)
      b = {state = f[1], generation = f[2], until_ms = f[3], probe = f[4], successes = f[5], window_ms = f[6], head = f[7], counts = f[8]}
    else
      b = {state = CLOSED, generation = (epoch or 0) * GENERATIONS, until_ms = 0, probe = '', successes = 0, window_ms = 0, head = 0,
        counts = no_counts(), is_new = true}
    end
    found[deployment] = b
  end
  return b
end

local function keep(deployment, b)
  b.is_new = nil
  changed[deployment] = b
end

local function advance(b)
  local current = b.window_ms > 0 and math.floor(now * SLICES / b.window_ms) or 0
  for number = math.max(b.head + 1, current - SLICES), current do
    local at = number % (SLICES + 1) * 3
    b.counts[at + 1], b.counts[at + 2], b.counts[at + 3] = 0, 0, 0
  end
  b.head = current
end

local function totals(b)
  local calls, failures, slow = 0, 0, 0
  for at = 1, #b.counts, 3 do
    calls, failures, slow = calls + b.counts[at], failures + b.counts[at + 1], slow + b.counts[at + 2]
  end
  return calls, failures, slow
end

local function become(b, state, why)
  local old = b.state
  b.state, b.generation, b.successes, b.counts = state, b.generation + 1, 0, no_counts()
  return NAMES[old] .. '>' .. NAMES[state] .. ': ' .. why
end

local function open(b, rule, why)
  b.until_ms = now + rule.open_ms
  return become(b, OPEN, why)
end

-- How long a deployment is left alone; FOREVER while a probe is out.
local function wait_ms(deployment, rule)
  if rule.forced ~= NOT_FORCED then return rule.forced == FORCED_OPEN and FOREVER or 0 end
  local b = of(deployment)
  if b.state == OPEN then return math.max(0, b.until_ms - now) end
  return b.state == HALF_OPEN and b.probe ~= '' and FOREVER or 0
end

-- An attempt goes to the deployment; after an opening it is the probe. Returns the generation that it belongs to.
local function grant(deployment, rule, rid)
  local b, detail = of(deployment), ''
  if b.is_new then keep(deployment, b) end
  if rule.forced == NOT_FORCED and b.state ~= CLOSED then
    b.probe = rid
    keep(deployment, b)
    if b.state == OPEN then detail = become(b, HALF_OPEN, 'its time is up') end
  end
  notices.transition(deployment, b.generation, detail)
  return b.generation
end

local function judge_probe(b, rule, verdict, is_slow)
  if verdict == NONE or rule.forced ~= NOT_FORCED then return '' end
  if verdict == FAILURE then return open(b, rule, 'the probe failed') end
  if is_slow then return open(b, rule, 'the probe was slow') end
  b.successes = b.successes + 1
  return b.successes >= rule.probes and become(b, CLOSED, 'the probe succeeded') or ''
end

local function judge_counts(b, rule)
  local calls, failures, slow = totals(b)
  if failures >= rule.failures and failures * 1000 >= calls * rule.failure_permille then
    return open(b, rule, string.format('%d of %d calls failed', failures, calls))
  end
  if slow >= rule.failures and slow * 1000 >= calls * rule.slow_permille then
    return open(b, rule, string.format('%d of %d calls were slow', slow, calls))
  end
  return ''
end

-- An attempt ended, or was given up.
local function finish(deployment, rule, rid, generation, verdict, latency_ms)
  local b, detail = of(deployment), ''
  if b.is_new then return end
  local is_slow = rule.slow_ms > 0 and verdict ~= NONE and latency_ms >= rule.slow_ms
  if b.probe == rid then
    b.probe = ''
    detail = judge_probe(b, rule, verdict, is_slow)
  elseif verdict ~= NONE and rule.forced == NOT_FORCED and b.state == CLOSED and generation == b.generation then
    b.window_ms = rule.window_ms
    advance(b)
    local at = b.head % (SLICES + 1) * 3
    b.counts[at + 1] = b.counts[at + 1] + 1
    if verdict == FAILURE then b.counts[at + 2] = b.counts[at + 2] + 1 end
    if is_slow then b.counts[at + 3] = b.counts[at + 3] + 1 end
    detail = judge_counts(b, rule)
  else
    return
  end
  keep(deployment, b)
  notices.transition(deployment, b.generation, detail)
end

-- A person closes it.
local function reset(deployment)
  local b = of(deployment)
  if b.is_new then return end
  advance(b)
  if b.state == CLOSED and totals(b) == 0 then return end -- as a call that is repeated finds it
  b.probe = ''
  local detail = become(b, CLOSED, 'reset')
  keep(deployment, b)
  notices.transition(deployment, b.generation, detail)
end

local function views()
  local rows, names = {}, call('HKEYS', P .. K.breakers)
  table.sort(names)
  for i = 1, #names do
    local b = of(names[i])
    advance(b)
    local calls, failures, slow = totals(b)
    rows[i] = {names[i], b.state, b.generation, calls, failures, slow, b.until_ms, b.probe ~= '' and 1 or 0}
  end
  return rows
end

local function flush()
  local fields = {}
  for deployment, b in pairs(changed) do
    fields[#fields + 1] = deployment
    fields[#fields + 1] = cmsgpack.pack({b.state, b.generation, b.until_ms, b.probe, b.successes, b.window_ms, b.head, b.counts})
  end
  call_many('HSET', P .. K.breakers, fields)
end

return {wait_ms = wait_ms, grant = grant, finish = finish, reset = reset, views = views, flush = flush}
