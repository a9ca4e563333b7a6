-- The beginning of every call: the prefix of all keys, the arguments, the time, the epoch; and what this interpreter keeps between calls.
-- KEYS[1]: the partition's epoch key (routes a cluster; the prefix is what stands before it). ARGV[1]: msgpack array; its first element is the
-- time in ms or false: then the server's TIME, which is frozen for the call.
-- Unpacked configuration is kept between calls, by partition, as long as `stamp` says that it was not written meanwhile.

local call, P, args, now, settings, epoch, version, last_pool_was, paused_lanes_packed, known_reply
local cached -- {stamp, size, records, paths, models, trees}
local caches, partitions = {}, 0
local MOST_CACHED, MOST_PARTITIONS = 30000, 32

local resets = {} -- each fragment's fresh start
local function fresh(reset) resets[#resets + 1] = reset end

local function cache_of(stamp)
  local found = caches[P]
  if found and found.stamp == stamp and found.size < MOST_CACHED then return found end
  if not found then
    partitions = partitions + 1
    if partitions > MOST_PARTITIONS then caches, partitions = {}, 1 end
  end
  caches[P] = {stamp = stamp, size = 0, records = {}, paths = {}, models = {}, trees = {}}
  return caches[P]
end

-- Which run of which server this is. A replica that was promoted, and a server that was started again, may lack the last writes.
local server_run
local function server()
  server_run = server_run or string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') or 'unknown'
  return server_run
end

-- A call leaves much garbage and little that stays. Collecting it each time that it has doubled what stays is half of all work; here the
-- collector may wait until SPARE_KB more are in use, whatever stays. Where a server hides the collector, its own pace stands.
local SPARE_KB, LOOK_EVERY = 48 * 1024, 256
local least_kb, calls = 2 ^ 50, 0
local function pace_collector()
  local collect = rawget(_G, 'collectgarbage')
  if not collect then return end
  least_kb, calls = math.min(least_kb, collect('count')), calls + 1
  if calls == 1 or calls % LOOK_EVERY == 0 then
    collect('setpause', math.min(2000, math.max(200, math.floor(100 + 100 * SPARE_KB / least_kb))))
    least_kb = 2 ^ 50
  end
end

local function begin(keys, argv, channel_at)
  pace_collector()
  call = redis.call
  P = string.sub(keys[1], 1, -1 - string.len(K.epoch))
  args = cmsgpack.unpack(argv[1])
  now = args[1]
  if not now then
    local time = call('TIME')
    now = time[1] * 1000 + math.floor(time[2] / 1000)
  end
  local found = call('MGET', keys[1], P .. K.stamp, P .. K.version, P .. K.last_pool, P .. K.paused_lanes,
    channel_at and P .. K.reply .. args[channel_at] or keys[1])
  local layout, number, run = string.match(found[1] or '', '^(%d+):(%d+):(%w+)$')
  epoch = layout and tonumber(layout) == LAYOUT and run == server() and tonumber(number) or nil
  version, last_pool_was, paused_lanes_packed, known_reply = tonumber(found[3] or 0), found[4] or '', found[5], found[6]
  cached = cache_of(found[2] or '')
  for i = 1, #resets do resets[i]() end
end

-- The configuration was written: no interpreter may go on with what it has kept. The server's own time makes the mark unlike any before.
local function restamp()
  local time = redis.call('TIME')
  local stamp = string.format('%s.%s.%s', time[1], time[2], call('INCR', P .. K.writes))
  call('SET', P .. K.stamp, stamp)
  caches[P] = nil
  partitions = partitions - 1
end

local REFUSED = 'EPOCH the gate is empty: rebuild it from the rows first'

-- A command with any number of members, a part at a time: Lua's stack ends at 8,000. Returns the sum of what it counted.
local function call_many(command, key, members)
  local count = 0
  for from = 1, #members, 2000 do count = count + call(command, key, unpack(members, from, math.min(from + 1999, #members))) end
  return count
end
local function whole(number) return string.format('%.0f', number) end
