-- What people look at: limits in use, counts, holders, breakers, notices.

local MOST_SHOWN = 100 -- as in contract.py

-- The ids, with those of nodes in place of `l17@*`; and flat: default, how many nodes have it.
local function named(ids)
  local found, counts = {}, {}
  for i = 1, #ids do
    local default = string.match(ids[i], '^([^@]*)@%*$')
    if default then
      local key = P .. K.instances .. default
      local count = call('SCARD', key)
      local members = count > MOST_SHOWN and call('SRANDMEMBER', key, MOST_SHOWN) or call('SMEMBERS', key)
      for j = 1, #members do found[#found + 1] = string.match(members[j], '^[^\n]*') end
      counts[#counts + 1], counts[#counts + 2] = default, count
    else
      found[#found + 1] = ids[i]
    end
  end
  return found, counts
end

local function use_of(l)
  local wait = rules.wait_ms(l, 1, 1)
  local shown, others = l.kind == limits.BUCKET and rules.most_for(l, 1) or l.amount, l.told and l.told.foreign or 0
  local reserved, next_ms = l.kind == limits.BUDGET and l.aside or 0, wait >= 0 and wait < limits.FOREVER and wait or -1
  return {l.id, rules.used(l) + others, shown, reserved, next_ms, others}
end

local function uses_of(ids)
  table.sort(ids)
  limits.load(ids)
  local uses, last = {}, nil
  for i = 1, #ids do
    local l = ids[i] ~= last and limits.of(ids[i])
    if l then uses[#uses + 1] = use_of(l) end
    last = ids[i]
  end
  return uses
end

local function holder_rows()
  local rows, flat = {}, call('HGETALL', P .. K.holders)
  for i = 1, #flat, 2 do
    local record = cmsgpack.unpack(flat[i + 1])
    rows[#rows + 1] = {flat[i], record[1], record[2]}
  end
  return rows
end

local function cooling_rows()
  local rows, flat = {}, call('HGETALL', P .. K.cooling)
  for i = 1, #flat, 2 do
    if tonumber(flat[i + 1]) > now then rows[#rows + 1] = {flat[i], tonumber(flat[i + 1]) - now} end
  end
  return rows
end

local function sum_of(counts)
  local sum = 0
  for i = 1, #counts do sum = sum + tonumber(counts[i] or 0) end
  return sum
end

-- ARGV[1] msgpack [now|false, [limit ids]|false]; false: all that are configured.
-- Returns msgpack [now, [[id, used, amount, reserved, next_ms|-1, foreign], …], waiting, reservations, unsent, [[holder, slots, [lanes]], …],
--   [[target, for_ms], …], [[deployment, state, generation, calls, failures, slow, until_ms, 0|1 probing], …], nodes: flat tenant, count,
--   defaults: flat id, count, [[deployment, calls, latency_us|-1, failed, used_ms], …]].
operation('inspect', function()
  local ids, defaults = named(args[2] or call('SMEMBERS', P .. K.limit_ids))
  local uses = uses_of(ids)
  local waiting, unsent = tonumber(call('GET', P .. K.waiting) or 0), sum_of(call('HMGET', P .. K.counts, 'l1', 'l2', 'l3', 'l4', 'l5'))
  return cmsgpack.pack({now, uses, waiting, call('HLEN', P .. K.reservations), unsent, holder_rows(), cooling_rows(), breaker.views(),
    call('HGETALL', P .. K.nodes), defaults, statistics.views()})
end, {flags = {'no-writes'}})

-- The limits on a path. ARGV[1] msgpack [now|false, path]. Returns msgpack [id, …], or false where its tenant or run is not configured.
operation('limits_of', function()
  local path, ids = paths.resolve(args[2]), {}
  if not path then return cmsgpack.pack(false) end
  limits.load(path.limits)
  for _, id in ipairs(path.limits) do
    if limits.of(id) then ids[#ids + 1] = id end
  end
  return cmsgpack.pack(ids)
end, {flags = {'no-writes'}})

-- Forget notices, read others. ARGV[1] msgpack [now|false, acknowledged, most].
-- Returns msgpack [[id, kind, subject, value, period, at_ms, detail], …].
operation('notices', function()
  call_many('HDEL', P .. K.notices, args[2])
  local ids, rows = call('HKEYS', P .. K.notices), {}
  table.sort(ids)
  for i = 1, math.min(#ids, args[3]) do rows[i] = {ids[i], unpack(cmsgpack.unpack(call('HGET', P .. K.notices, ids[i])))} end
  return cmsgpack.pack(rows)
end)

-- Lift cooldowns, take what a provider tells. ARGV[1] msgpack [now|false, targets, readings (as in step.lua)]. Returns 1.
operation('sync', function()
  call_many('HDEL', P .. K.cooling, args[2])
  reservations.read(args[3])
  limits.flush()
  return 1
end)

-- A person closes a breaker. ARGV[1] msgpack [now|false, deployment]. Returns 1.
operation('reset_breaker', function()
  breaker.reset(args[2])
  breaker.flush()
  return 1
end)
