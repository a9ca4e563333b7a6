-- How turns and lots fall among deployments {id, weight}: turns.py, name by name.

-- Whose turn it is; standing moves on.
local function next_turn(standing, fitting)
  local best, total = nil, 0
  for i = 1, #fitting do
    local one = fitting[i]
    standing[one.id] = (standing[one.id] or 0) + one.weight
    total = total + one.weight
    if not best or standing[one.id] > standing[best.id] then best = one end
  end
  standing[best.id] = standing[best.id] - total
  return best
end

-- The same id, the same lot.
local function lot(rid, fitting)
  local total = 0
  for i = 1, #fitting do total = total + fitting[i].weight end
  local place = tonumber(string.sub(redis.sha1hex(rid), 1, 8), 16) % total
  for i = 1, #fitting do
    place = place - fitting[i].weight
    if place < 0 then return fitting[i] end
  end
  return fitting[#fitting]
end

return {next_turn = next_turn, lot = lot}
