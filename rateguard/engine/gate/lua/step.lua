-- needs: limits room holders reserve admit
-- One round trip: what was sent, what ended, who withdraws, who comes in; then admit up to `want`.
-- KEYS[1] {rg:<partition>}:epoch
-- ARGV[1] msgpack [now|false, channel, number, want, sent, settle, withdraw, enqueue, settings]
--   sent     flat: reservation, holder, ago_ms
--   settle   flat: reservation, used 0|1, input, output, cost, counted_ago_ms|-1, cooling target|'', for_ms
--   withdraw flat: tree, path, member
--   enqueue  flat: tree, path, member, order
--   settings [send_by_ms, dead_after_ms, unsent_per_worker]
-- Returns  msgpack [now, epoch, version, granted, refused, next_ready|0, has_more, binding]
--   granted  [[reservation, tree, deployment, cost, send_by, input, max_output], …]
--   refused  flat: job, attempt, reason, binding
-- The same (channel, number) gets the same reply; an older number gets the newest reply and changes nothing.
-- Cost: 40–130 µs a granted job in batches of 50, ~130–300 µs alone.
settings = args[9]
local epoch = open_epoch()
if not epoch then return refuse_closed() end

local reply_key = P .. K.reply .. args[2]
local known = call('GET', reply_key)
if known then
  local number, size = struct.unpack('>dI4', known)
  if number >= args[3] then return string.sub(known, 13, 12 + size) end
end

local sent, settled, withdrawn, enqueued = args[5], args[6], args[7], args[8]
for i = 1, #sent, 3 do note_sent(sent[i], sent[i + 1], sent[i + 2]) end
for i = 1, #settled, 8 do
  settle(settled[i], settled[i + 1], settled[i + 2], settled[i + 3], settled[i + 4], settled[i + 5], settled[i + 6], settled[i + 7])
end
for i = 1, #withdrawn, 3 do withdraw(withdrawn[i], withdrawn[i + 1], withdrawn[i + 2]) end
enqueue_all(not_reserved(enqueued), function(member, path)
  local n = #refused
  refused[n + 1], refused[n + 2], refused[n + 3], refused[n + 4] = string.sub(member, 1, 16), struct.unpack('>I2', member, 29), 'not_configured', path
end)

local want, has_more = args[4], false
if want > 0 then has_more = admit(want) end

local first = call('ZRANGE', P .. K.wake, 0, 0, 'WITHSCORES')
if #first > 0 then opens_ms = math.min(opens_ms, tonumber(first[2])) end
flush_limits()
flush_room()
flush_reservations()
flush_admission()

local next_ready = 0
if opens_ms < FOREVER then next_ready = math.max(opens_ms, now + 1) end
local version = tonumber(call('GET', P .. K.version) or 0)
local reply = cmsgpack.pack({now, epoch, version, granted, refused, next_ready, has_more, binding})
call('SET', reply_key, struct.pack('>dI4', args[3], string.len(reply)) .. reply, 'PX', 60000)
return reply
