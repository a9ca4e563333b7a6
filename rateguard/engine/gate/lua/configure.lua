-- needs: limits room
-- Write configuration records; what is used of an edited limit stays. Works during a rebuild (no epoch).
-- A record that was read from older rows than the one that stands (or was forgotten) is left out: pushes may overtake each other.
-- ARGV[1] msgpack [now|false, version, limits, paths, models, forget limits, forget models]
--   limits [[id, kind, metric, amount, level, window_ms, burst, gives_back, slices, ring], …]
--   paths  [[id, packed], …]   models [[name, packed], …]   forget [id, …]
-- Returns 1.
local function is_current(kind, id)
  local known = tonumber(call('HGET', P .. K.record_versions, kind .. id) or 0)
  if args[2] < known then return false end
  call('HSET', P .. K.record_versions, kind .. id, whole(args[2]))
  return true
end

local function free_parked(l)
  if l.has_parked == 0 then return end
  unpark_jobs(l, call('ZRANGE', P .. K.parked_jobs .. l.id, 0, -1))
  while call('EXISTS', P .. K.parked .. l.id) == 1 do unpark(l) end
  call('ZREM', P .. K.wake, l.id)
end

-- What is parked under a limit that the path has no longer is tried again.
local function write_path(id, packed)
  local old, new, kept = path_of(id), cmsgpack.unpack(packed), {}
  call('SET', P .. K.path .. id, packed)
  paths[id] = new
  for i = 1, #new[3] do kept[new[3][i]] = true end
  for i = 1, old and #old[3] or 0 do
    local l = not kept[old[3][i]] and limit_of(old[3][i])
    if l then free_parked(l) end
  end
end

local function write_limit(record)
  local old = limit_of(record[1])
  local l = old and edited(old, record) or new_limit(record)
  l.dirty = nil
  limits[record[1]] = l
  touch(l)
  call('SADD', P .. K.limit_ids, record[1])
  if l.has_parked == 1 then wake_at(l, now) end
end

for i = 1, #args[3] do
  if is_current('limit:', args[3][i][1]) then write_limit(args[3][i]) end
end
for i = 1, #args[6] do
  local l = is_current('limit:', args[6][i]) and limit_of(args[6][i])
  if l then
    free_parked(l)
    call('DEL', P .. K.limit .. l.id)
    call('SREM', P .. K.limit_ids, l.id)
    l.dirty = true -- never written again
    limits[l.id] = false
  end
end
for i = 1, #args[4] do
  if is_current('path:', args[4][i][1]) then write_path(args[4][i][1], args[4][i][2]) end
end
for i = #dirty, 1, -1 do
  if limits[dirty[i].id] ~= dirty[i] then table.remove(dirty, i) end
end
flush_limits()
flush_room()
for i = 1, #args[5] do
  local name, packed = args[5][i][1], args[5][i][2]
  if is_current('model:', name) then
    call('SET', P .. K.model .. name, packed)
    call('HSET', P .. K.pools, name, cmsgpack.unpack(packed)[1])
  end
end
for i = 1, #args[7] do
  if is_current('model:', args[7][i]) then
    call('DEL', P .. K.model .. args[7][i])
    call('HDEL', P .. K.pools, args[7][i])
  end
end
local version = tonumber(call('GET', P .. K.version) or 0)
if args[2] > version then call('SET', P .. K.version, whole(args[2])) end
return 1
