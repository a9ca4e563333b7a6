-- The rule of each kind of limit: states.py, name by name.

local NEVER, DOWNGRADE, FOREVER = limits.NEVER, limits.DOWNGRADE, limits.FOREVER
local WINDOW, BUCKET, CONCURRENCY, BUDGET, PAUSE = limits.WINDOW, limits.BUCKET, limits.CONCURRENCY, limits.BUDGET, limits.PAUSE
local REJECT, HOLD, DOWNGRADES = 0, 1, 2
local slice_at, add_to_slice, ring_of, keep = windows.slice_at, windows.add, windows.ring_of, limits.keep

-- What a lane may use of the amount; of a bucket, of its capacity.
local function amount_for(r, lane)
  local most = r.amount
  if r.kind == BUCKET then most = math.floor(most * r.burst / 1000) end
  if r.reserve == 0 or lane <= r.reserve_lane then return most end
  return most - math.floor(most * r.reserve / 1000)
end

local function pace_of(r, amount) return math.ceil(amount * (r.window_ms * 1000 / r.amount)) end

local function room_ms(l, amount, most)
  local r, over = l.record, l.total + amount - most
  if over <= 0 then return 0 end
  local freed, amounts, ring = 0, ring_of(l), r.ring
  for number = l.head - ring + 1, l.head do
    freed = freed + amounts[number % ring + 1]
    if freed >= over then return math.max(1, math.ceil((number + ring) * r.window_ms / r.slices) - now) end
  end
  return r.window_ms
end

local function pace_ms(l, amount)
  local r = l.record
  if r.burst == 1000 then return 0 end
  local burst_us = r.window_ms * r.burst
  local ahead_us = math.max(l.pace_us, now * 1000) - now * 1000 + math.min(pace_of(r, amount), burst_us)
  return math.max(0, math.ceil((ahead_us - burst_us) / 1000))
end

local function next_period_ms(l)
  local wait = FOREVER
  for _, start in ipairs(l.record.periods) do
    if start > now then wait = math.min(wait, start - now) end
  end
  return wait
end

local function budget_wait(l, amount, most)
  if l.total + amount <= most then return 0 end
  if l.total - l.aside + amount <= most then return next_period_ms(l) end
  local mode = l.record.on_exhausted
  if mode == DOWNGRADES then return DOWNGRADE end
  if mode == REJECT or amount > most then return NEVER end
  return next_period_ms(l)
end

local function wait_ms(l, amount, lane)
  local kind = l.kind
  if kind == PAUSE then
    if l.record.amount == 0 then return FOREVER end
    return math.max(0, l.record.amount - now)
  end
  local most = amount_for(l.record, lane)
  if kind == BUDGET then return budget_wait(l, amount, most) end
  if amount > most then return NEVER end
  if kind == WINDOW then return math.max(room_ms(l, amount, most), pace_ms(l, amount)) end
  if kind == CONCURRENCY then return l.total + amount <= most and 0 or FOREVER end
  local ahead_us = math.max(l.pace_us, now * 1000) - now * 1000 + pace_of(l.record, amount)
  return math.max(0, math.floor((ahead_us - pace_of(l.record, most)) / 1000))
end

local function take(l, amount, tenant, at_ms)
  local r = l.record
  if l.kind == BUCKET then
    local at = at_ms or now
    if l.pace_us <= at * 1000 then l.aside = at end
    l.pace_us = math.max(l.pace_us, at * 1000) + pace_of(r, amount)
  else
    l.total = l.total + amount
    if l.kind == WINDOW then
      l.aside = l.aside + amount
      if r.burst < 1000 then l.pace_us = math.max(l.pace_us, now * 1000) + pace_of(r, amount) end
    elseif l.kind == BUDGET then
      l.aside = l.aside + amount
    end
  end
  keep(l, tenant)
end

local function recall(l, amount, at_ms, tenant)
  if l.kind == BUCKET then take(l, amount, tenant, at_ms); return end
  if l.kind == WINDOW then
    add_to_slice(l, math.min(l.head, slice_at(l.record, at_ms)), amount)
  elseif l.kind ~= PAUSE then
    l.total = l.total + amount
  end
  keep(l, tenant)
end

local function move(l, amount, from_ms, to_ms, tenant)
  if l.kind ~= WINDOW then return end
  local old, new = slice_at(l.record, from_ms), math.min(l.head, slice_at(l.record, to_ms))
  if new > old then
    add_to_slice(l, old, -amount)
    add_to_slice(l, new, amount)
    keep(l, tenant)
  end
end

local function adjust(l, reserved, actual, charged_ms, tenant)
  local r = l.record
  if l.kind == WINDOW then
    add_to_slice(l, slice_at(r, charged_ms), actual - reserved)
    if actual < reserved and r.burst < 1000 then l.pace_us = l.pace_us - pace_of(r, reserved - actual) end
  elseif l.kind == BUCKET then
    if actual > reserved then
      l.pace_us = math.max(l.pace_us, now * 1000) + pace_of(r, actual - reserved)
    elseif charged_ms >= l.aside then -- an earlier charge has been refilled: it does not come back a second time
      l.pace_us = l.pace_us - pace_of(r, reserved - actual)
    end
  elseif l.kind == CONCURRENCY then
    l.total = math.max(0, l.total - reserved)
  elseif l.kind == BUDGET then
    l.aside = math.max(0, l.aside - reserved)
    l.total = math.max(0, l.total + actual - reserved)
  end
  keep(l, tenant)
end

-- What is not refilled yet of a bucket, with the part that is on its way.
local function taken(l) return math.max(0, l.pace_us - now * 1000) * (l.record.amount / (l.record.window_ms * 1000)) end

local function used(l) return l.kind == BUCKET and math.ceil(taken(l)) or l.total end

-- The thresholds (per cent) that a budget reached since the last look, each once a period. Exhausted: as if all were spent.
local function reached(l, is_exhausted)
  local spent, new = is_exhausted and l.record.amount or l.total - l.aside, {}
  for _, share in ipairs(l.record.thresholds) do
    if spent * 100 >= share * l.record.amount and share > l.pace_us then
      new[#new + 1] = share
      l.pace_us = share
      keep(l)
    end
  end
  return new
end

local function is_void(l)
  if l.has_parked == 1 then return false end
  if l.kind == BUCKET then return l.pace_us <= now * 1000 end
  return l.total == 0 and (l.kind ~= WINDOW or l.pace_us <= now * 1000)
end

-- ---- what an attempt needs of each metric

local REQUESTS, TOKENS, INPUT_TOKENS, OUTPUT_TOKENS, PLACES, COST, PROVIDER_TOKENS = 1, 2, 3, 4, 5, 6, 7

local function need_of(metric, need)
  if metric == PROVIDER_TOKENS then return need.input + need.max_output end
  if metric == REQUESTS or metric == PLACES then return 1 end
  if metric == TOKENS then return need.input + need.output end
  if metric == INPUT_TOKENS then return need.input end
  if metric == OUTPUT_TOKENS then return need.output end
  return need.cost
end

-- Whether it counts in the end what it counted at the grant: a request is a request.
local function is_settled(l) return l.record.metric == REQUESTS and (l.kind == WINDOW or l.kind == BUCKET) end

return {
  HOLD = HOLD, is_settled = is_settled, amount_for = amount_for, pace_of = pace_of, wait_ms = wait_ms, next_period_ms = next_period_ms,
  take = take, recall = recall, move = move, adjust = adjust, taken = taken, used = used, reached = reached, is_void = is_void, need_of = need_of,
}
