-- A holder stops by itself: it is as silent as a dead one from now on.
-- ARGV[1] msgpack [now|false, holder]. Returns 1.
if not open_epoch() then return refuse_closed() end
call('HDEL', P .. K.holders, args[2])
call('ZADD', P .. K.beats, -1, args[2])
return 1
