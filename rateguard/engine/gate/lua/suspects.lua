-- needs: limits room holders reserve
-- Reservations that nobody claimed in time, then those of dead holders; dead holders that hold nothing are forgotten.
-- ARGV[1] msgpack [now|false, most, settings]. Returns msgpack [[reservation, holder, 0|1 alive, age_ms], …].
if not open_epoch() then return refuse_closed() end
settings = args[3]
note_gap()
local found = call('ZRANGEBYSCORE', P .. K.send_by, '-inf', '(' .. whole(now), 'LIMIT', 0, args[2])
local holders = call('ZRANGE', P .. K.beats, 0, -1)
for i = 1, #holders do
  if not is_alive(holders[i]) then
    local held = call('SMEMBERS', P .. K.held .. holders[i])
    table.sort(held)
    for j = 1, #held do
      if #found < args[2] then found[#found + 1] = held[j] end
    end
    if #held == 0 then forget_holder(holders[i]) end
  end
end
local seen = {}
for i = 1, #found do
  local record = reservation_of(found[i])
  if record then seen[#seen + 1] = {found[i], record[8], record[8] ~= '' and is_alive(record[8]) and 1 or 0, now - record[7]} end
end
return cmsgpack.pack(seen)
