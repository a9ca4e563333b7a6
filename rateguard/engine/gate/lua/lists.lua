-- The lists of models: by name, by marks, and whose turn it is in each: lists.py, name by name.

local FIRST, TURNS = 0, 1
local standings, standings_changed
fresh(function() standings, standings_changed = {}, {} end)

local function unpack_model(name, raw)
  local f = cmsgpack.unpack(raw)
  local model = {name = name, pool = f[1], mode = f[3], deployments = {}}
  for i, d in ipairs(f[2]) do
    local b = d[6]
    model.deployments[i] = {id = d[1], limits = d[2], cools = d[3], input_pico = d[4], output_pico = d[5], rule = {failures = b[1],
      failure_permille = b[2], window_ms = b[3], open_ms = b[4], slow_ms = b[5], slow_permille = b[6], probes = b[7], forced = b[8]},
      tier = d[7], weight = d[8], after_ms = d[9]}
    model.deployments[i].alone = {model.deployments[i]} -- what `ask` answers where it alone fits: no table is made
  end
  return model
end

-- The list of this name; one with marks is derived from the record that it is of, whose name it keeps. false where there is none.
local function list_of(name)
  local found = cached.models[name]
  if found ~= nil then return found end
  local base, marked = marks.split(name)
  if marked == '' then
    local raw = call('GET', P .. K.model .. base)
    found = raw and unpack_model(base, raw) or false
  else
    local record = list_of(base)
    found = record and {name = base, pool = record.pool, mode = record.mode, deployments = marks.apply(marks.read(marked), record.deployments)}
  end
  cached.models[name] = found
  cached.size = cached.size + 1
  return found
end

-- Where tenants share across lists, and the name without marks.
local function pool_of(name)
  local base = marks.split(name)
  local record = list_of(base)
  return record and record.pool or name, base
end

-- A deployment of a list without marks (they hide none), or nil where it is not in it any more.
local function deployment_of(base, id)
  local record = list_of(base)
  for i = 1, record and #record.deployments or 0 do
    if record.deployments[i].id == id then return record.deployments[i] end
  end
end

-- ---- turns

local function read_standing(name)
  local raw = call('HGET', P .. K.turns, name)
  return raw and cmsgpack.unpack(raw)
end

local function standing_of(name)
  if not standings[name] then standings[name] = read_standing(name) or {} end
  standings_changed[name] = true
  return standings[name]
end

-- Which of those with room takes an attempt: the first, the one whose turn it is, or the one on which its lot falls.
local function choose(record, fitting, rid)
  if record.mode == FIRST or #fitting == 1 then return fitting[1] end
  if record.mode == TURNS then return turns.next_turn(standing_of(record.name), fitting) end
  return turns.lot(rid, fitting)
end

-- A list as it is now. Who left it has no turn in it any more.
local function write(name, packed)
  call('SET', P .. K.model .. name, packed)
  local standing, kept = read_standing(name), {}
  if not standing then return end
  for _, d in ipairs(cmsgpack.unpack(packed)[2]) do kept[d[1]] = standing[d[1]] end
  if next(kept) then call('HSET', P .. K.turns, name, cmsgpack.pack(kept)) else call('HDEL', P .. K.turns, name) end
end

-- A list that is no more.
local function forget(name)
  call('DEL', P .. K.model .. name)
  call('HDEL', P .. K.turns, name)
end

local function flush()
  for name in pairs(standings_changed) do call('HSET', P .. K.turns, name, cmsgpack.pack(standings[name])) end
end

return {
  FIRST = FIRST, of = list_of, pool_of = pool_of, deployment_of = deployment_of, choose = choose, write = write,
  forget = forget, flush = flush,
}
