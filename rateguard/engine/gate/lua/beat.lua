-- needs: limits room holders
-- A holder lives.
-- ARGV[1] msgpack [now|false, holder, slots, [lanes], settings]. Returns the gate's time, ms.
if not open_epoch() then return refuse_closed() end
settings = args[5]
note_gap()
call('HSET', P .. K.holders, args[2], cmsgpack.pack({args[3], args[4]}))
call('ZADD', P .. K.beats, whole(now), args[2])
return whole(now)
