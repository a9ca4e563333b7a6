-- Bring back part of the state from rows during a rebuild, before the epoch is opened. Each part may be sent again only after `clear`.
-- ARGV[1] msgpack [now|false, charges, running, waiting]
--   charges flat: limit, amount, ago_ms, tenant
--   running [[reservation, path, tree, input, output, max_output, cost, ago_ms, holder, deployment], …]
--   waiting flat: tree, path, member, order
-- Returns 1.
local function limits_of_deployment(tree, id)
  local model = room.model_of(room.parts_of(tree).model)
  for i = 1, model and #model.deployments or 0 do
    if model.deployments[i].id == id then return model.deployments[i].limits end
  end
  return {}
end

local function restore_running(rid, path_id, tree, input, output, max_output, cost, ago_ms, holder, deployment)
  local path = paths.resolve(path_id)
  if reservations.of(rid) or not path then return end
  local need, charged_ms, ids, amounts = {input = input, output = output, max_output = max_output, cost = cost}, now - ago_ms, {}, {}
  local function charge(list)
    limits.load(list)
    for i = 1, #list do
      local l = limits.of(list[i])
      if l and l.kind ~= limits.PAUSE then
        local amount = limits.need_of(l.record.metric, need)
        ids[#ids + 1] = l.id; amounts[#amounts + 1] = amount
        if l.kind == limits.BUDGET then limits.take(l, amount, path.tenant) else limits.recall(l, amount, charged_ms, path.tenant) end
      end
    end
  end
  charge(path.limits)
  charge(limits_of_deployment(tree, deployment))
  local record = {path_id, tree, input, output, max_output, cost, charged_ms, '', ids, amounts, deployment, reservations.RESTORED}
  reservations.reserve(rid, record, now)
  reservations.claim(rid, record, holder)
end

operation('restore', function()
  local charges, ids = args[2], {}
  for i = 1, #charges, 4 do ids[#ids + 1] = charges[i] end
  limits.load(ids)
  for i = 1, #charges, 4 do
    local l = limits.of(charges[i])
    if l then limits.recall(l, charges[i + 1], now - charges[i + 2], charges[i + 3]) end
  end
  for i = 1, #args[3] do restore_running(unpack(args[3][i])) end
  room.enqueue_all(args[4], function() end)
  limits.flush()
  room.flush()
  reservations.flush()
  holders.flush()
  return 1
end, {is_rebuild = true})
