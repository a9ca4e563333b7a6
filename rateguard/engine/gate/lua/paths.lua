-- Which limits a path has, from the configured nodes: paths.py and scopes.py, name by name. What was found is kept between calls.

local NOTHING = {}

-- {tenant, user or ''}: what a path says by itself.
local split_paths, split_size = {}, 0
local function parts_of_path(path)
  local found = split_paths[path]
  if not found then
    if split_size > 30000 then split_paths, split_size = {}, 0 end
    found = {tenant = string.match(path, '^[^|]*'), user = string.match(path, '|(user:[^|]*)') or ''}
    split_paths[path] = found
    split_size = split_size + 1
  end
  return found
end

local function unpack_scope(raw)
  local f = cmsgpack.unpack(raw)
  local without, defaults = NOTHING, NOTHING
  if #f[3] > 0 then
    without = {}
    for _, id in ipairs(f[3]) do without[id] = true end
  end
  if #f[4] > 0 then
    defaults = {}
    for _, default in ipairs(f[4]) do defaults[default[1]] = default[2] end
  end
  return {limits = f[1], weight = f[2], without = without, defaults = defaults}
end

-- The configured ones of these nodes.
local function scopes_of(nodes)
  local keys, scopes = {}, {}
  for i = 1, #nodes do keys[i] = P .. K.scope .. nodes[i] end
  local raws = call('MGET', unpack(keys))
  for i = 1, #raws do scopes[nodes[i]] = raws[i] and unpack_scope(raws[i]) end
  return scopes
end

local function add_inherited(ids, above, kind, part, without)
  local defaults = above and above.defaults[kind]
  for i = 1, defaults and #defaults or 0 do
    if not without[defaults[i]] then ids[#ids + 1] = defaults[i] .. '@' .. part end
  end
end

local function add_all(ids, more)
  for i = 1, #more do ids[#ids + 1] = more[i] end
end

local function resolve_new(path)
  local split, pieces = parts_of_path(path), {}
  for piece in string.gmatch(path, '[^|]+') do pieces[#pieces + 1] = piece end
  local tenant, nodes = split.tenant, {'', split.tenant}
  for i = 2, #pieces do nodes[i + 1] = tenant .. '|' .. pieces[i] end
  local scopes = scopes_of(nodes)
  local above, own = scopes[''], scopes[tenant]
  if not own then return nil, tenant end
  for i = 2, #pieces do
    if string.sub(pieces[i], 1, 4) == 'run:' and not scopes[nodes[i + 1]] then return nil, nodes[i + 1] end
  end
  local ids, user_weight = {}, 1
  add_all(ids, own.limits)
  add_inherited(ids, above, 'tenant', 'tenant:' .. tenant, own.without)
  for i = 2, #pieces do
    local node, part = scopes[nodes[i + 1]], pieces[i]
    if node then add_all(ids, node.limits) end
    add_inherited(ids, own, string.match(part, '^[^:]*'), part, node and node.without or NOTHING)
    if node and string.sub(part, 1, 5) == 'user:' then user_weight = node.weight end
  end
  if above then add_all(ids, above.limits) end
  return {id = path, tenant = tenant, weight = own.weight, user = split.user, user_weight = user_weight, limits = ids}
end

-- The path with its limits; nil and the missing node where its tenant or one of its runs is not configured.
local function resolve(path)
  local found = cached.paths[path]
  if found then return found end
  local missing
  found, missing = resolve_new(path)
  if not found then return nil, missing end
  cached.paths[path] = found
  cached.size = cached.size + 1
  return found
end

return {resolve = resolve, parts_of = parts_of_path, unpack = unpack_scope}
