-- needs: limits room holders reserve
-- Bring back part of the state from rows during a rebuild, before the epoch is opened. Each part may be sent again only after `clear`.
-- ARGV[1] msgpack [now|false, charges, running, waiting]
--   charges flat: limit, amount, ago_ms
--   running [[reservation, path, tree, input, output, max_output, cost, ago_ms, holder, deployment], …]
--   waiting flat: tree, path, member, order
-- Returns 1.
local function limits_of_deployment(tree, id)
  local model = model_of(parts_of(tree).model)
  if model then
    for i = 1, #model[2] do if model[2][i][1] == id then return model[2][i][2] end end
  end
  return {}
end

local function restore_running(rid, path, tree, input, output, max_output, cost, ago_ms, holder, deployment)
  local record = path_of(path)
  if reservation_of(rid) or not record then return end
  local need, charged_ms = {input = input, output = output, max_output = max_output, cost = cost}, now - ago_ms
  local ids, amounts = {}, {}
  local function charge(list)
    load_limits(list)
    for i = 1, #list do
      local l = limits[list[i]]
      if l then
        local amount = need_of(l.metric, need)
        ids[#ids + 1] = l.id; amounts[#amounts + 1] = amount
        if l.kind == BUDGET then take(l, amount) else recall(l, amount, charged_ms) end
      end
    end
  end
  charge(record[3])
  charge(limits_of_deployment(tree, deployment))
  local reservation = {path, tree, input, output, max_output, cost, charged_ms, '', ids, amounts, deployment}
  reserve(rid, reservation, now)
  claim(rid, reservation, holder)
end

for i = 1, #args[2], 3 do
  local l = limit_of(args[2][i])
  if l then recall(l, args[2][i + 1], now - args[2][i + 2]) end
end
for i = 1, #args[3] do restore_running(unpack(args[3][i])) end
enqueue_all(args[4], function() end)
flush_limits()
flush_room()
flush_reservations()
return 1
