-- A rebuild: `clear` begins it and gives it a mark, `drop` and `restore` do its parts, `open` ends it.
-- A part counts only for the rebuild that began last, on the run of the server where that began: a call that arrives late, or at a replica that
-- was promoted meanwhile, changes nothing. Where no rebuild was begun (a fresh gate) the mark is ''.

-- The epoch, or false where the gate is empty, of a foreign layout, or of another run of a server. ARGV[1] msgpack [now|false].
operation('epoch', function() return epoch and whole(epoch) or false end, {is_rebuild = true, flags = {'no-writes'}})

-- Nothing is decided any more. ARGV[1] msgpack [now|false, mark]. Returns 1.
operation('clear', function()
  call('DEL', P .. K.epoch)
  call('SET', P .. K.rebuild, args[2] .. ':' .. server())
  return 1
end, {is_rebuild = true})

local function is_of_this_rebuild(mark)
  local found = call('GET', P .. K.rebuild)
  return not epoch and (found or ':' .. server()) == mark .. ':' .. server()
end

-- Keys of before. ARGV[1] msgpack [now|false, mark, [key, …]]. Returns 1.
operation('drop', function()
  if not is_of_this_rebuild(args[2]) then return redis.error_reply(REFUSED) end
  for i = 1, #args[3] do call('UNLINK', args[3][i]) end
  return 1
end, {is_rebuild = true})

-- Bring back part of the state from rows, before the epoch is opened; of an open gate, reservations that it lacks. Each part of a rebuild may be
-- sent again only after `clear`.
-- ARGV[1] msgpack [now|false, charges, running, waiting, mark]
--   charges flat: limit, amount, ago_ms, tenant
--   running [[reservation, path, tree, input, output, max_output, cost, ago_ms, holder, deployment], …]
--   waiting flat: tree, path, member, order
-- Returns 1.
local function restore_running(rid, path_id, tree, input, output, max_output, cost, ago_ms, holder, deployment)
  local path = paths.resolve(path_id)
  if reservations.of(rid) or not path then return end
  local need, charged_ms, ids, amounts = {input = input, output = output, max_output = max_output, cost = cost}, now - ago_ms, {}, {}
  local function charge(list)
    limits.load(list)
    for i = 1, #list do
      local l = limits.of(list[i])
      if l and l.kind ~= limits.PAUSE then
        local amount = rules.need_of(l.record.metric, need)
        ids[#ids + 1] = l.id; amounts[#amounts + 1] = amount
        if l.kind == limits.BUDGET then rules.take(l, amount, path.tenant) else rules.recall(l, amount, charged_ms, path.tenant) end
      end
    end
  end
  charge(path.limits)
  local place = lists.deployment_of(room.parts_of(tree).base, deployment)
  if place then charge(place.limits) end
  local record = {path_id, tree, input, output, max_output, cost, charged_ms, '', ids, amounts, deployment, reservations.RESTORED}
  reservations.reserve(rid, record, now)
  reservations.claim(rid, record, holder)
end

operation('restore', function()
  if not epoch and not is_of_this_rebuild(args[5]) then return redis.error_reply(REFUSED) end
  local charges, ids = args[2], {}
  for i = 1, #charges, 4 do ids[#ids + 1] = charges[i] end
  limits.load(ids)
  for i = 1, #charges, 4 do
    local l = limits.of(charges[i])
    if l then rules.recall(l, charges[i + 1], now - charges[i + 2], charges[i + 3]) end
  end
  for i = 1, #args[3] do restore_running(unpack(args[3][i])) end
  room.enqueue_all(args[4], function() end)
  limits.flush()
  room.flush()
  reservations.flush()
  holders.flush()
  return 1
end, {is_rebuild = true})

-- The rebuild is done: decisions may be asked for. ARGV[1] msgpack [now|false, epoch, mark]. Returns 1, also where it was opened by this call before.
operation('open', function()
  if epoch == args[2] then return 1 end
  if not is_of_this_rebuild(args[3]) then return redis.error_reply(REFUSED) end
  call('DEL', P .. K.rebuild)
  call('HSET', P .. K.pulse, 'resumed_at', whole(now))
  call('SET', P .. K.epoch, string.format('%d:%s:%s', LAYOUT, whole(args[2]), server()))
  return 1
end, {is_rebuild = true})
