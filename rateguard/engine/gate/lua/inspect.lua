-- needs: limits
-- Limits in use, counts and holders; changes nothing.
-- ARGV[1] msgpack [now|false, [limit ids]]; no ids: all limits
-- Returns msgpack [now, [[id, used, amount, reserved], …], waiting, reservations, unsent, [[holder, slots, [lanes]], …], [[target, for_ms], …]].
if not open_epoch() then return refuse_closed() end
local ids = args[2]
if #ids == 0 then ids = call('SMEMBERS', P .. K.limit_ids) end
table.sort(ids)
load_limits(ids)
local uses, holders, cool, unsent_total = {}, {}, {}, 0
for i = 1, #ids do
  local l = limits[ids[i]]
  if l then uses[#uses + 1] = {l.id, l.total, l.amount, l.reserved} end
end
local flat = call('HGETALL', P .. K.holders)
for i = 1, #flat, 2 do
  local record = cmsgpack.unpack(flat[i + 1])
  holders[#holders + 1] = {flat[i], record[1], record[2]}
end
flat = call('HGETALL', P .. K.cooling)
for i = 1, #flat, 2 do
  if tonumber(flat[i + 1]) > now then cool[#cool + 1] = {flat[i], tonumber(flat[i + 1]) - now} end
end
local counts = call('HVALS', P .. K.unsent)
for i = 1, #counts do unsent_total = unsent_total + tonumber(counts[i]) end
return cmsgpack.pack({now, uses, tonumber(call('GET', P .. K.waiting) or 0), call('HLEN', P .. K.reservations), unsent_total, holders, cool})
