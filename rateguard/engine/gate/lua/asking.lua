-- Which deployments of a list a job may go to now: asking.py, name by name.
-- Tiers are asked in order, each only where none before has room; inside a tier those that take all before those that take only what has
-- waited. That wait gives the others time: where all that could ever take a job only wait, the first of them takes it now.

local NEVER, FOREVER, FIRST = limits.NEVER, limits.FOREVER, lists.FIRST
local NO_DEADLINE = 2 ^ 51
local NOTHING = {}

-- When a waiting job came, by its member and its place in the order.
local function came_ms(member, order)
  if order >= NO_DEADLINE then return order - NO_DEADLINE end
  local high, low = struct.unpack('>I2I4', member, 31)
  return high * 2 ^ 32 + low
end

local function are_level(one, other) return one.tier == other.tier and one.after_ms == other.after_ms end

local function level_with_first(held)
  local level = {}
  for i = 1, #held do
    if are_level(held[i], held[1]) then level[#level + 1] = held[i] end
  end
  return level
end

-- wait_of(deployment, head): longest wait, what is in the way. Returns {deployments among which one takes the job} or nil; the limit that
-- the job can never pass or ''; flat: what is in the way, for how long; whether one would take it but for its wait.
local function ask(model, head, wait_of)
  local fitting, held, never, blocked = nil, nil, '', nil
  for i = 1, #model.deployments do
    local one = model.deployments[i]
    if fitting and not are_level(one, fitting[1]) then break end
    local wait, blocker = wait_of(one, head)
    local early = one.after_ms > 0 and one.after_ms - (now - came_ms(head.member, head.order)) or 0
    if wait ~= NEVER and early > wait then
      if wait == 0 then
        held = held or {}
        held[#held + 1] = one
      end
      wait, blocker = early, 'after:' .. one.id
    end
    if wait == NEVER then
      if never == '' then never = blocker end
    elseif wait > 0 then
      blocked = blocked or {}
      blocked[#blocked + 1] = blocker; blocked[#blocked + 1] = wait
    elseif model.mode == FIRST then
      return one.alone
    else
      fitting = fitting or {}
      fitting[#fitting + 1] = one
    end
  end
  if held and not fitting and #held * 2 == #blocked then fitting = level_with_first(held) end
  return fitting, never, blocked or NOTHING, held ~= nil
end

-- How long, and what, of the least that is in the way; of equals the last.
local function shortest(blocked)
  local least, what = FOREVER, ''
  for i = 1, #blocked, 2 do
    if blocked[i + 1] <= least then least, what = blocked[i + 1], blocked[i] end
  end
  return least, what
end

return {ask = ask, shortest = shortest}
