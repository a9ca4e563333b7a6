-- Marks at the end of a list's name: marks.py, name by name.

local MARK = '!'

-- {never = {id = true}, first, last = {id = true}}
local function read(text)
  local found = {never = {}, first = '', last = {}}
  for sign, id in string.gmatch(text, '([-+*])([^-+*!]+)') do
    if sign == '-' then found.never[id] = true elseif sign == '+' then found.first = id else found.last[id] = true end
  end
  return found
end

-- The list that the record is of, and its marks as text.
local function split(name)
  local at = string.find(name, MARK, 1, true)
  if not at then return name, '' end
  return string.sub(name, 1, at - 1), string.sub(name, at + 1)
end

local function moved(deployment, tier)
  local copy = {}
  for field, value in pairs(deployment) do copy[field] = value end
  copy.tier = tier
  return copy
end

local function left_of(marks, deployments)
  local left = {}
  for i = 1, #deployments do
    if not marks.never[deployments[i].id] then left[#left + 1] = deployments[i] end
  end
  return #left > 0 and left or deployments
end

-- The deployments in their new order: the first one's tier is before all, those asked last have one behind all.
local function apply(marks, deployments)
  local left, first, between, last = left_of(marks, deployments), {}, {}, {}
  local before, behind = 2 ^ 50, -2 ^ 50
  for i = 1, #left do before, behind = math.min(before, left[i].tier - 1), math.max(behind, left[i].tier + 1) end
  for i = 1, #left do
    local one = left[i]
    if one.id == marks.first then
      first[#first + 1] = moved(one, before)
    elseif marks.last[one.id] then
      last[#last + 1] = moved(one, behind)
    else
      between[#between + 1] = one
    end
  end
  for i = 1, #between do first[#first + 1] = between[i] end
  for i = 1, #last do first[#first + 1] = last[i] end
  return first
end

return {read = read, split = split, apply = apply}
