-- The rule of each kind of limit: states.py, name by name.

local NEVER, DOWNGRADE, FOREVER = limits.NEVER, limits.DOWNGRADE, limits.FOREVER
local WINDOW, BUCKET, CONCURRENCY, BUDGET, PAUSE = limits.WINDOW, limits.BUCKET, limits.CONCURRENCY, limits.BUDGET, limits.PAUSE
local REJECT, HOLD, DOWNGRADES = 0, 1, 2
local slice_at, add_to_slice, ring_of, keep = windows.slice_at, windows.add, windows.ring_of, limits.keep

-- What a lane may use of an amount; of a bucket, of its capacity.
local function share_of(r, amount, lane)
  local most = amount
  if r.kind == BUCKET then most = math.floor(most * r.burst / 1000) end
  if r.reserve == 0 or lane <= r.reserve_lane then return most end
  return most - math.floor(most * r.reserve / 1000)
end
local function amount_for(r, lane) return share_of(r, r.amount, lane) end

-- What a lane may use of a limit now; what it could use at most, were nothing to be learned.
local function most_for(l, lane) return share_of(l.record, l.amount, lane) end
local function bound_for(l, lane) return share_of(l.record, told.bound_of(l), lane) end

-- At the pace of what people set: of a window, which that alone spreads.
local function pace_of(r, amount) return math.ceil(amount * (r.window_ms * 1000 / r.amount)) end

-- How long until so much has left the window.
local function frees_ms(l, over)
  if over <= 0 then return 0 end
  local r = l.record
  local freed, amounts, ring = 0, ring_of(l), r.ring
  for number = l.head - ring + 1, l.head do
    freed = freed + amounts[number % ring + 1]
    if freed >= over then return math.max(1, math.ceil((number + ring) * r.window_ms / r.slices) - now) end
  end
  return r.window_ms
end

-- How long until it is not over any more: so much of ours has left; or what others use has, and so much less of ours.
local function room_ms(l, amount, most)
  local over, others = l.total + amount - most, l.told and l.told.foreign or 0
  if over + others <= 0 or others == 0 then return frees_ms(l, over) end
  local without = math.max(l.told.foreign_until_ms - now, frees_ms(l, over))
  if over + others > l.total then return without end
  return math.min(without, frees_ms(l, over + others))
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

local function bucket_wait(l, amount, most)
  local ahead_us = math.max(l.pace_us, now * 1000) - now * 1000 + told.pace_of(l, amount) - told.pace_of(l, most)
  if l.told and l.told.foreign > 0 then
    local without = math.max(l.told.foreign_until_ms - now, math.floor(ahead_us / 1000))
    return math.max(0, math.min(without, math.floor((ahead_us + told.pace_of(l, l.told.foreign)) / 1000)))
  end
  return math.max(0, math.floor(ahead_us / 1000))
end

local function wait_ms(l, amount, lane)
  local kind = l.kind
  if kind == PAUSE then
    if l.record.amount == 0 then return FOREVER end
    return math.max(0, l.record.amount - now)
  end
  local most = most_for(l, lane)
  if kind == BUDGET then return budget_wait(l, amount, most) end
  if amount > most then
    if not l.told or amount > bound_for(l, lane) then return NEVER end
    amount = most -- more than was learned so far: it goes alone
  end
  if kind == WINDOW then return math.max(room_ms(l, amount, most), pace_ms(l, amount)) end
  if kind == CONCURRENCY then return l.total + amount <= most and 0 or FOREVER end
  return bucket_wait(l, amount, most)
end

local function take(l, amount, tenant, at_ms)
  local r = l.record
  if l.kind == BUCKET then
    local at = at_ms or now
    if l.pace_us <= at * 1000 then l.aside = at end
    l.pace_us = math.max(l.pace_us, at * 1000) + told.pace_of(l, amount)
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
      l.pace_us = math.max(l.pace_us, now * 1000) + told.pace_of(l, actual - reserved)
    elseif charged_ms >= l.aside then -- an earlier charge has been refilled: it does not come back a second time
      l.pace_us = l.pace_us - told.pace_of(l, reserved - actual)
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
local function taken(l) return math.max(0, l.pace_us - now * 1000) * (l.amount / (l.record.window_ms * 1000)) end

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

-- What an attempt counts in the end, by its figures: {input, output, max_output, cost, cached}.
local function used_by(r, spent)
  if r.output == 1000 and not r.skips_cached then return need_of(r.metric, spent) end
  return need_of(r.metric, {
    input = spent.input - (r.skips_cached and spent.cached or 0), output = math.ceil(spent.output * r.output / 1000),
    max_output = math.ceil(spent.max_output * r.output / 1000), cost = spent.cost,
  })
end

-- Whether its end changes nothing: a request is a request, where nothing is to be learned from it.
local function is_settled(l) return l.record.metric == REQUESTS and (l.kind == WINDOW or l.kind == BUCKET) and l.record.learns_from == 0 end

return {
  HOLD = HOLD, is_settled = is_settled, amount_for = amount_for, most_for = most_for, bound_for = bound_for, used_by = used_by, wait_ms = wait_ms, next_period_ms = next_period_ms,
  take = take, recall = recall, move = move, adjust = adjust, taken = taken, used = used, reached = reached, is_void = is_void, need_of = need_of,
}
