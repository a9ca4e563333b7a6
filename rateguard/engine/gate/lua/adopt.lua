-- needs: limits room holders reserve
-- A reservation that nobody claimed belongs to a live holder after all.
-- ARGV[1] msgpack [now|false, reservation, holder]. Returns 1.
if not open_epoch() then return refuse_closed() end
local record = reservation_of(args[2])
if record then claim(args[2], record, args[3]) end
flush_reservations()
return 1
