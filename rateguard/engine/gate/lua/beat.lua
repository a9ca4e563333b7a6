-- needs: limits room holders
-- A holder lives. After a silence of all holders nobody is called dead before a whole dead_after has passed.
-- ARGV[1] msgpack [now|false, holder, slots, [lanes], settings]. Returns the gate's time, ms.
if not open_epoch() then return refuse_closed() end
settings = args[5]
local last_beat = tonumber(call('HGET', P .. K.pulse, 'last_beat') or 0)
if now - last_beat > math.floor(settings[2] / GAP_SHARE) then call('HSET', P .. K.pulse, 'resumed_at', whole(now)) end
call('HSET', P .. K.pulse, 'last_beat', whole(now))
call('HSET', P .. K.holders, args[2], cmsgpack.pack({args[3], args[4]}))
call('ZADD', P .. K.beats, whole(now), args[2])
return whole(now)
