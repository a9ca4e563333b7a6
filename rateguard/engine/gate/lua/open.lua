-- The rebuild is done: decisions may be asked for.
-- ARGV[1] msgpack [now|false, epoch]. Returns 1.
call('HSET', P .. K.pulse, 'resumed_at', whole(now))
call('SET', P .. K.epoch, LAYOUT .. ':' .. whole(args[2]))
return 1
