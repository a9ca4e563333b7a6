-- What a deployment's calls showed: statistics.py, name by name. A record: {calls, latency_us or -1, failed, used_ms}

local NONE, FAILURE, SHARE, ALL_FAILED = 0, 2, 8, 1000000
local found, changed -- of this call
fresh(function() found, changed = {}, {} end)

local function of(deployment)
  if not found[deployment] then
    local raw = call('HGET', P .. K.statistics, deployment)
    found[deployment] = raw and cmsgpack.unpack(raw) or {0, -1, 0, 0}
  end
  return found[deployment]
end

-- A mean with one more figure.
local function moved(mean, figure) return mean + math.floor((figure - mean) / SHARE) end

-- A call ended. What was given back unused and says nothing of its deployment was none.
local function note(deployment, used, verdict, latency_ms)
  if not used and verdict == NONE then return end
  local figures = of(deployment)
  changed[deployment] = figures
  figures[1], figures[4] = figures[1] + 1, now
  if verdict == NONE then return end
  figures[3] = moved(figures[3], verdict == FAILURE and ALL_FAILED or 0)
  if verdict ~= FAILURE then
    local latency_us = latency_ms * 1000
    figures[2] = figures[2] < 0 and latency_us or moved(figures[2], latency_us)
  end
end

-- [[deployment, calls, latency_us|-1, failed, used_ms], …] by deployment.
local function views()
  local rows, names = {}, call('HKEYS', P .. K.statistics)
  table.sort(names)
  for i = 1, #names do rows[i] = {names[i], unpack(of(names[i]))} end
  return rows
end

local function flush()
  local fields = {}
  for deployment, figures in pairs(changed) do fields[#fields + 1] = deployment; fields[#fields + 1] = cmsgpack.pack(figures) end
  call_many('HSET', P .. K.statistics, fields)
end

return {note = note, views = views, flush = flush}
