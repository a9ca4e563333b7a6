-- Write configuration records; what is used of an edited limit stays. Works during a rebuild (no epoch).
-- A record that was read from older rows than the one that stands (or was forgotten) is left out: pushes may overtake each other.
-- ARGV[1] msgpack [now|false, version, limits, scopes, models, forget limits, forget scopes, forget models, paused lanes|false, is_last]
--   limits [[id, packed], …]   scopes [[id, packed], …]   models [[name, packed], …]   forget [id, …]   paused lanes: flat lane, until_ms
--   is_last: with it all of the version is written
-- Returns 1.
local function is_current(kind, id)
  local known = tonumber(call('HGET', P .. K.record_versions, kind .. id) or 0)
  if args[2] < known then return false end
  call('HSET', P .. K.record_versions, kind .. id, whole(args[2]))
  return true
end

local function free(id)
  local l = limits.of(id)
  if l then parking.free(l) end
end

local function forget_limit(id)
  local ids = edits.states_of(id)
  for i = 1, #ids do free(ids[i]) end
  edits.forget(id)
end

local function scope_of(node)
  local raw = call('GET', P .. K.scope .. node)
  return raw and paths.unpack(raw)
end

-- {kind|limit = limit} that a node gives to nodes below it; kind '' for its own.
local function named(scope)
  local found = {}
  for _, id in ipairs(scope and scope.limits or {}) do found['|' .. id] = id end
  for kind, ids in pairs(scope and scope.defaults or {}) do
    for _, id in ipairs(ids) do found[kind .. '|' .. id] = id end
  end
  return found
end

-- What is parked under a limit, or by a default, that a node had and has no longer is tried again.
local function free_dropped(old, new)
  local kept = named(new)
  for place, id in pairs(named(old)) do
    if not kept[place] then
      local ids = edits.states_of(id)
      for i = 1, #ids do free(ids[i]) end
    end
  end
end

local function write_scope(node, packed)
  local old, new = scope_of(node), paths.unpack(packed)
  call('SET', P .. K.scope .. node, packed)
  cached.paths = {}
  free_dropped(old, new)
  local part = string.match(node, '|(.*)$') or 'tenant:' .. node
  for id in pairs(new.without) do free(id .. '@' .. part) end
end

local function forget_scope(node)
  local old = scope_of(node)
  call('DEL', P .. K.scope .. node)
  cached.paths = {}
  free_dropped(old, nil)
  if string.find(node, '|run:', 1, true) then -- a run never comes back: nothing has to be remembered of it
    call('HDEL', P .. K.record_versions, 'scope:' .. node)
    for _, id in ipairs(old and old.limits or {}) do call('HDEL', P .. K.record_versions, 'limit:' .. id) end
  end
end

operation('configure', function()
  for _, record in ipairs(args[3]) do
    if is_current('limit:', record[1]) then
      for _, parked in ipairs(edits.write(record[1], record[2])) do
        if parked[2] then parking.free(parked[1]) else parking.wake_at(parked[1].id, now) end
      end
    end
  end
  for _, id in ipairs(args[6]) do
    if is_current('limit:', id) then forget_limit(id) end
  end
  for _, record in ipairs(args[4]) do
    if is_current('scope:', record[1]) then write_scope(record[1], record[2]) end
  end
  for _, node in ipairs(args[7]) do
    if is_current('scope:', node) then forget_scope(node) end
  end
  limits.flush()
  room.flush()
  for _, record in ipairs(args[5]) do
    if is_current('model:', record[1]) then lists.write(record[1], record[2]) end
  end
  for _, name in ipairs(args[8]) do
    if is_current('model:', name) then lists.forget(name) end
  end
  if args[9] and is_current('lanes', '') then call('SET', P .. K.paused_lanes, cmsgpack.pack(args[9])) end
  if args[10] and args[2] > version then call('SET', P .. K.version, whole(args[2])) end
  restamp()
  return 1
end, {is_rebuild = true})
