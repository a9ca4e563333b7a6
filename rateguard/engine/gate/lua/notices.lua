-- What people want to hear of, kept until it is acknowledged: notices.py, name by name. A record: {kind, subject, value, period, at_ms, detail}.

local MOST_NOTICES = 10000

local function add(kind, subject, value, period, detail)
  if call('HLEN', P .. K.notices) >= MOST_NOTICES then return end
  local id = string.format('%s|%s|%d|%s', kind, subject, value, whole(period))
  call('HSET', P .. K.notices, id, cmsgpack.pack({kind, subject, value, period, now, detail}))
end

-- The thresholds that a budget has reached now.
local function thresholds(l, is_exhausted)
  if #l.record.thresholds == 0 then return end
  for _, share in ipairs(rules.reached(l, is_exhausted)) do add('threshold', l.id, share, l.head, '') end
end

-- A breaker's transition, where there was one.
local function transition(deployment, generation, detail)
  if detail ~= '' then add('breaker', deployment, generation, 0, detail) end
end

-- An account or a deployment takes nothing for long.
local function cooled(target, until_ms, reason) add('cooled', target, 0, until_ms, reason) end

return {thresholds = thresholds, transition = transition, cooled = cooled}
