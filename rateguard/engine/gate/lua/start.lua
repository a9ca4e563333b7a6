-- The beginning of every script: the prefix of all keys, the arguments, the time.
-- KEYS[1]: the partition's epoch key (routes a cluster; the prefix is what stands before it). ARGV[1]: msgpack array; its first element is the
-- time in ms or false: then the server's TIME, which is frozen for the call.
local P = string.sub(KEYS[1], 1, -1 - string.len(K.epoch))
local call = redis.call
local args = cmsgpack.unpack(ARGV[1])
local now = args[1]
if not now then
  local time = call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end

-- The open epoch, or nil where the gate is empty or of a foreign layout.
local function open_epoch()
  local layout, epoch = string.match(call('GET', P .. K.epoch) or '', '^(%d+):(%d+)$')
  if layout and tonumber(layout) == LAYOUT then return tonumber(epoch) end
end

local function refuse_closed() return redis.error_reply('EPOCH the gate is empty: rebuild it from the rows first') end
-- A command with any number of members, a part at a time: Lua's stack ends at 8,000.
local function call_many(command, key, members)
  for from = 1, #members, 2000 do call(command, key, unpack(members, from, math.min(from + 1999, #members))) end
end
local function whole(number) return string.format('%.0f', number) end
