-- One round trip: what was sent, what ended, who withdraws, who comes in; then admit up to `want`.
-- ARGV[1] msgpack [now|false, channel, number, want, sent, settle, withdraw, enqueue, settings]
--   sent     flat: reservation, holder, ago_ms
--   settle   flat: reservation, used 0|1, input, output, cached, cost, counted_ago_ms|-1, cooling target|'', for_ms, reason, verdict,
--            latency_ms, readings false or flat: limit, told|-1, remaining|-1, reset_ms|-1, ago_ms
--   withdraw flat: tree, path, member
--   enqueue  flat: tree, path, member, order
--   settings [send_by_ms, dead_after_ms, unsent_per_worker, most_nodes]
-- Returns  msgpack [now, epoch, version, granted, refused, next_ready|0, has_more, binding]
--   granted  [[reservation, tree, deployment, cost, send_by, input, max_output], …]
--   refused  flat: job, attempt, reason, binding
-- The same (channel, number) gets the same reply; an older number gets the newest reply and changes nothing.
-- Cost: see docs/performance.md.
local SETTLED = 13

local function settle(settled, i)
  local target, output = settled[i + 7], settled[i + 3]
  if target ~= '' then reservations.cool(target, settled[i + 8], settled[i + 9]) end
  if settled[i + 12] then reservations.read(settled[i + 12]) end
  reservations.settle(settled[i], {
    used = settled[i + 1] == 1, is_limited = target ~= '' and settled[i + 9] == '',
    settled = {input = settled[i + 2], output = output, max_output = output, cost = settled[i + 5], cached = settled[i + 4]},
    counted_ago = settled[i + 6], verdict = settled[i + 10], latency_ms = settled[i + 11],
  })
end

operation('step', function()
  settings = args[9]
  if known_reply then
    local number, size = struct.unpack('>dI4', known_reply)
    if number >= args[3] then return string.sub(known_reply, 13, 12 + size) end
  end
  local sent, settled, withdrawn = args[5], args[6], args[7]
  local rids = {}
  for i = 1, #sent, 3 do rids[#rids + 1] = sent[i] end
  for i = 1, #settled, SETTLED do rids[#rids + 1] = settled[i] end
  reservations.load(rids)
  for i = 1, #sent, 3 do reservations.note_sent(sent[i], sent[i + 1], sent[i + 2]) end
  for i = 1, #settled, SETTLED do settle(settled, i) end
  for i = 1, #withdrawn, 3 do
    room.withdraw(withdrawn[i], withdrawn[i + 1], withdrawn[i + 2])
    parking.look_again(withdrawn[i], withdrawn[i + 1])
  end
  room.enqueue_all(reservations.not_reserved(args[8]), function(member, node)
    admission.refuse(member, struct.unpack('>I2', member, 29), 'not_configured', node)
  end)

  local want, has_more = args[4], false
  if want > 0 then has_more = admission.admit(want) end
  local next_ready = admission.next_ready()
  limits.flush()
  room.flush()
  reservations.flush()
  holders.flush()
  breaker.flush()
  statistics.flush()
  lists.flush()
  admission.flush()
  local granted, refused, binding = admission.outcome()
  local reply = cmsgpack.pack({now, epoch, version, granted, refused, next_ready, has_more, binding})
  call('SET', P .. K.reply .. args[2], struct.pack('>dI4', args[3], string.len(reply)) .. reply, 'PX', 60000)
  return reply
end, {channel_at = 2})
