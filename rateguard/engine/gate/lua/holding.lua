-- Heartbeats and what holders hold.

-- The holder lives. ARGV[1] msgpack [now|false, holder, slots, lanes, settings]. Returns the gate's time, ms.
operation('beat', function()
  settings = args[5]
  holders.note_gap()
  call('HSET', P .. K.holders, args[2], cmsgpack.pack({args[3], args[4], now}))
  call('ZADD', P .. K.beats, whole(now), args[2])
  edits.sweep()
  return whole(now)
end)

-- The holder stops by itself: it takes no more work. ARGV[1] msgpack [now|false, holder]. Returns 1.
operation('leave', function()
  call('HDEL', P .. K.holders, args[2])
  call('ZADD', P .. K.beats, holders.LEFT, args[2])
  return 1
end)

-- A reservation that nobody claimed belongs to a live holder after all; nobody knows when it was sent, at the latest now.
-- ARGV[1] msgpack [now|false, reservation, holder]. Returns 1.
operation('adopt', function()
  local record = reservations.of(args[2])
  if record and record[8] == '' then reservations.note_sent(args[2], args[3], 0) end
  limits.flush()
  reservations.flush()
  holders.flush()
  return 1
end)

-- [[reservation, holder, 0|1 alive, age_ms, path, tree, deployment, cost, input, output, max_output], …]
local function seen(rids)
  local rows = {}
  for i = 1, #rids do
    local record = reservations.of(rids[i])
    if record then
      local is_alive = record[8] ~= '' and holders.is_alive(record[8])
      rows[#rows + 1] = {rids[i], record[8], is_alive and 1 or 0, now - record[7], record[1], record[2], record[11], record[6], record[3], record[4],
        record[5]}
    end
  end
  return rows
end

-- Reservations that nobody claimed in time, then those of dead holders; dead holders that hold nothing are forgotten.
-- ARGV[1] msgpack [now|false, most, settings]. Returns msgpack rows as `seen` makes them.
operation('suspects', function()
  settings = args[3]
  holders.note_gap()
  local found = call('ZRANGEBYSCORE', P .. K.send_by, '-inf', '(' .. whole(now), 'LIMIT', 0, args[2])
  local beats = call('ZRANGE', P .. K.beats, 0, -1)
  for i = 1, #beats do
    if not holders.is_alive(beats[i]) then
      local held = call('SMEMBERS', P .. K.held .. beats[i])
      table.sort(held)
      for j = 1, #held do
        if #found < args[2] then found[#found + 1] = held[j] end
      end
      if #held == 0 then holders.forget(beats[i]) end
    end
  end
  return cmsgpack.pack(seen(found))
end)

-- All reservations, page by page (HSCAN).
-- ARGV[1] msgpack [now|false, cursor, most, settings]. Returns msgpack [next cursor, rows as `seen` makes them].
operation('held', function()
  settings = args[4]
  holders.note_gap()
  local page, rids = call('HSCAN', P .. K.reservations, args[2], 'COUNT', args[3]), {}
  for i = 1, #page[2], 2 do rids[#rids + 1] = page[2][i] end
  reservations.load(rids)
  return cmsgpack.pack({tonumber(page[1]), seen(rids)})
end)
