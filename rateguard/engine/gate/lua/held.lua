-- needs: limits room holders reserve
-- All reservations, page by page (HSCAN).
-- ARGV[1] msgpack [now|false, cursor, most, settings]. Returns msgpack [next cursor, [[reservation, holder, 0|1 alive, age_ms], …]].
if not open_epoch() then return refuse_closed() end
settings = args[4]
note_gap()
local page = call('HSCAN', P .. K.reservations, args[2], 'COUNT', args[3])
local seen = {}
for i = 1, #page[2], 2 do
  local record = cmsgpack.unpack(page[2][i + 1])
  seen[#seen + 1] = {page[2][i], record[8], record[8] ~= '' and is_alive(record[8]) and 1 or 0, now - record[7]}
end
return cmsgpack.pack({tonumber(page[1]), seen})
