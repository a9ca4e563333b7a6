-- Each statement: what it does, its parameters, what it returns. Times as Django writes them.

-- name: claim
-- queued → running, only with the gate's epoch unchanged and a number above the last; then opens the attempts, writes the events, reads what a call needs.
-- parameters of the first part: holder, rows json [{id, attempt, deployment, deployment_id, cost}], epoch; returns the ids. Of the rest: holder, rows json.
update rateguard_jobs_job
set state = 'running', attempt = json_extract(row.value, '$.attempt'), holder = %s, started_at = strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now'),
    deployment = json_extract(row.value, '$.deployment')
from json_each(%s) as row
where rateguard_jobs_job.id = json_extract(row.value, '$.id') and rateguard_jobs_job.state = 'queued'
  and rateguard_jobs_job.attempt < json_extract(row.value, '$.attempt')
  and (rateguard_jobs_job.deadline_at is null or rateguard_jobs_job.deadline_at > strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now'))
  and exists (select 1 from rateguard_tenants_gateepoch where id = 1 and number = %s)
returning id
-- part
insert into rateguard_jobs_attempt (reservation_id, number, job_id, tenant_id, state, model, deployment_id, deployment, holder,
    reserved_input_tokens, reserved_output_tokens, reserved_max_output_tokens, reserved_nano_usd, started_at, error_code, error_message,
    input_tokens, cached_tokens, cache_write_tokens, output_tokens, nano_usd, is_estimated, provider_request_id, is_retry)
select job.id, job.attempt, job.id, job.tenant_id, 'running', job.model, json_extract(row.value, '$.deployment_id'), job.deployment, job.holder,
    job.input_tokens, job.output_tokens, job.max_output_tokens, json_extract(row.value, '$.cost'), job.started_at, '', '', 0, 0, 0, 0, 0, 0, '',
    job.tries > 0
from json_each(%s) as row join rateguard_jobs_job job on job.id = json_extract(row.value, '$.id')
-- part
insert into rateguard_jobs_jobevent (job_id, kind, attempt, at, detail)
select job.id, 'started', job.attempt, job.started_at, '{}'
from json_each(%s) as row join rateguard_jobs_job job on job.id = json_extract(row.value, '$.id')
-- part
select job.id, job.attempt, job.endpoint, job.model, job.request, json_extract(row.value, '$.deployment_id'), job.tenant_id, job.input_tokens,
    job.max_output_tokens, json_extract(row.value, '$.cost'), job.timeout_s, job.tries, job.max_tries, job.delivery,
    (julianday(job.deadline_at) - julianday('now')) * 86400, max(0, cast((julianday('now') - julianday(job.queued_at)) * 86400000 as integer)),
    job.run, job.connect_timeout_s, job.first_token_timeout_s, job.is_stored, job.lane, job.route_marks
from json_each(%s) as row join rateguard_jobs_job job on job.id = json_extract(row.value, '$.id')

-- name: settle
-- The end of attempts: closes each that is still open (the fence), then moves its job, writes the charge, the rollups and the event. One transaction.
-- parameters: each part takes the rows json, see settle.py; all but the first only the rows that the first returned (job, attempt, is to be told).
-- Charges are written by the second part for jobs and by "settle_calls" for synchronous calls; what follows takes who was charged from them.
-- The last part, the outbox, is needed only where one is to be told; it returns the jobs to tell.
update rateguard_jobs_attempt
set state = json_extract(row.value, '$.attempt_state'), finished_at = strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now'),
    error_code = json_extract(row.value, '$.error_code'), error_message = json_extract(row.value, '$.error_message'),
    input_tokens = json_extract(row.value, '$.input_tokens'), cached_tokens = json_extract(row.value, '$.cached_tokens'),
    cache_write_tokens = json_extract(row.value, '$.cache_write_tokens'), output_tokens = json_extract(row.value, '$.output_tokens'),
    nano_usd = json_extract(row.value, '$.nano_usd'), is_estimated = json_extract(row.value, '$.is_estimated'),
    latency_ms = json_extract(row.value, '$.latency_ms'), provider_request_id = json_extract(row.value, '$.provider_request_id'),
    cache_write_long_tokens = json_extract(row.value, '$.cache_write_long_tokens'),
    audio_input_tokens = json_extract(row.value, '$.audio_input_tokens'), audio_output_tokens = json_extract(row.value, '$.audio_output_tokens'),
    reasoning_tokens = json_extract(row.value, '$.reasoning_tokens'), tier = json_extract(row.value, '$.tier'),
    terms = json_extract(row.value, '$.terms'), searches = json_extract(row.value, '$.searches')
from json_each(%s) as row
where rateguard_jobs_attempt.reservation_id = json_extract(row.value, '$.job_id')
  and rateguard_jobs_attempt.number = json_extract(row.value, '$.attempt') and rateguard_jobs_attempt.state = 'running'
returning reservation_id, number,
    exists (select 1 from rateguard_jobs_job job
        where job.id = rateguard_jobs_attempt.reservation_id and (job.canvas is not null or job.tells <> 0))
-- part
insert into rateguard_tenants_ledgerentry (tenant_id, job_id, reservation_id, attempt, kind, nano_usd, input_tokens, cached_tokens,
    cache_write_tokens, output_tokens, is_estimated, is_overrun, model, deployment, api_key_id, team, rolegroup, role, "user", run, cost_center,
    labels, cache_write_long_tokens, audio_input_tokens, audio_output_tokens, reasoning_tokens, tier, terms, searches, created_at)
select job.tenant_id, job.id, job.id, json_extract(row.value, '$.attempt'), 'charge', json_extract(row.value, '$.nano_usd'),
    json_extract(row.value, '$.input_tokens'), json_extract(row.value, '$.cached_tokens'), json_extract(row.value, '$.cache_write_tokens'),
    json_extract(row.value, '$.output_tokens'), json_extract(row.value, '$.is_estimated'), json_extract(row.value, '$.is_overrun'), job.model,
    job.deployment, job.api_key_id, job.team, job.rolegroup, job.role, job."user", job.run, job.cost_center, job.labels,
    json_extract(row.value, '$.cache_write_long_tokens'), json_extract(row.value, '$.audio_input_tokens'),
    json_extract(row.value, '$.audio_output_tokens'), json_extract(row.value, '$.reasoning_tokens'), json_extract(row.value, '$.tier'),
    json_extract(row.value, '$.terms'), json_extract(row.value, '$.searches'),
    strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now')
from json_each(%s) as row join rateguard_jobs_job job on job.id = json_extract(row.value, '$.job_id')
-- part
insert into rateguard_tenants_usagequarter (tenant_id, model, deployment, api_key_id, team, starts_at, jobs, succeeded, failed,
    input_tokens, cached_tokens, cache_write_tokens, output_tokens, nano_usd)
select entry.tenant_id, entry.model, entry.deployment, coalesce(entry.api_key_id, 0), entry.team,
    strftime('%%Y-%%m-%%d %%H:%%M:%%S', cast(strftime('%%s', 'now') / 900 as integer) * 900, 'unixepoch'),
    sum(json_extract(row.value, '$.job_state') in ('succeeded', 'failed', 'cancelled', 'expired')),
    sum(json_extract(row.value, '$.job_state') = 'succeeded'), sum(json_extract(row.value, '$.job_state') = 'failed'),
    sum(json_extract(row.value, '$.input_tokens')), sum(json_extract(row.value, '$.cached_tokens')),
    sum(json_extract(row.value, '$.cache_write_tokens')), sum(json_extract(row.value, '$.output_tokens')), sum(json_extract(row.value, '$.nano_usd'))
from json_each(%s) as row
join rateguard_tenants_ledgerentry entry on entry.reservation_id = json_extract(row.value, '$.job_id')
    and entry.attempt = json_extract(row.value, '$.attempt') and entry.kind = 'charge'
where true
group by 1, 2, 3, 4, 5, 6
on conflict (tenant_id, model, deployment, api_key_id, team, starts_at) do update set
    jobs = jobs + excluded.jobs, succeeded = succeeded + excluded.succeeded, failed = failed + excluded.failed,
    input_tokens = input_tokens + excluded.input_tokens, cached_tokens = cached_tokens + excluded.cached_tokens,
    cache_write_tokens = cache_write_tokens + excluded.cache_write_tokens, output_tokens = output_tokens + excluded.output_tokens,
    nano_usd = nano_usd + excluded.nano_usd
-- part
insert into rateguard_tenants_usagequarterbin (quarter_id, measure, bin, count)
select quarter.id, measured.measure,
    json_extract(row.value, case measured.measure when 1 then '$.latency_bin' when 2 then '$.wait_bin' else '$.output_bin' end), count(*)
from json_each(%s) as row
join rateguard_tenants_ledgerentry entry on entry.reservation_id = json_extract(row.value, '$.job_id')
    and entry.attempt = json_extract(row.value, '$.attempt') and entry.kind = 'charge'
join rateguard_tenants_usagequarter quarter on quarter.tenant_id = entry.tenant_id and quarter.model = entry.model
    and quarter.deployment = entry.deployment and quarter.api_key_id = coalesce(entry.api_key_id, 0) and quarter.team = entry.team
    and quarter.starts_at = strftime('%%Y-%%m-%%d %%H:%%M:%%S', cast(strftime('%%s', 'now') / 900 as integer) * 900, 'unixepoch')
cross join (select 1 as measure union all select 2 union all select 3) as measured
where json_extract(row.value, '$.job_state') = 'succeeded'
group by 1, 2, 3
on conflict (quarter_id, measure, bin) do update set count = count + excluded.count
-- part
insert into rateguard_tenants_usageday (tenant_id, day, dimension, value, jobs, input_tokens, output_tokens, nano_usd)
select entry.tenant_id, strftime('%%Y-%%m-%%d', 'now'), 'user', entry."user",
    sum(json_extract(row.value, '$.job_state') in ('succeeded', 'failed', 'cancelled', 'expired')),
    sum(json_extract(row.value, '$.input_tokens') + json_extract(row.value, '$.cached_tokens') + json_extract(row.value, '$.cache_write_tokens')),
    sum(json_extract(row.value, '$.output_tokens')), sum(json_extract(row.value, '$.nano_usd'))
from json_each(%s) as row
join rateguard_tenants_ledgerentry entry on entry.reservation_id = json_extract(row.value, '$.job_id')
    and entry.attempt = json_extract(row.value, '$.attempt') and entry.kind = 'charge'
where entry."user" <> ''
group by 1, 2, 3, 4
on conflict (tenant_id, day, dimension, value) do update set
    jobs = jobs + excluded.jobs, input_tokens = input_tokens + excluded.input_tokens, output_tokens = output_tokens + excluded.output_tokens,
    nano_usd = nano_usd + excluded.nano_usd
-- part
insert into rateguard_tenants_usageday (tenant_id, day, dimension, value, jobs, input_tokens, output_tokens, nano_usd)
select entry.tenant_id, strftime('%%Y-%%m-%%d', 'now'), 'label', label.key || '=' || label.value,
    sum(json_extract(row.value, '$.job_state') in ('succeeded', 'failed', 'cancelled', 'expired')),
    sum(json_extract(row.value, '$.input_tokens') + json_extract(row.value, '$.cached_tokens') + json_extract(row.value, '$.cache_write_tokens')),
    sum(json_extract(row.value, '$.output_tokens')), sum(json_extract(row.value, '$.nano_usd'))
from json_each(%s) as row
join rateguard_tenants_ledgerentry entry on entry.reservation_id = json_extract(row.value, '$.job_id')
    and entry.attempt = json_extract(row.value, '$.attempt') and entry.kind = 'charge'
join json_each(entry.labels) as label
where true
group by 1, 2, 3, 4
on conflict (tenant_id, day, dimension, value) do update set
    jobs = jobs + excluded.jobs, input_tokens = input_tokens + excluded.input_tokens, output_tokens = output_tokens + excluded.output_tokens,
    nano_usd = nano_usd + excluded.nano_usd
-- part
insert into rateguard_jobs_jobevent (job_id, kind, attempt, at, detail)
with row as (select value from json_each(%s) where json_extract(value, '$.call') is null)
select json_extract(row.value, '$.job_id'), 'hedged', json_extract(row.value, '$.attempt'), strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now'),
    json_extract(row.value, '$.hedged')
from row where json_extract(row.value, '$.hedged') is not null
union all
select json_extract(row.value, '$.job_id'), json_extract(row.value, '$.transition'), json_extract(row.value, '$.attempt'),
    strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now'), json_extract(row.value, '$.detail')
from row
-- part
update rateguard_jobs_job
set state = json_extract(row.value, '$.job_state'), holder = '',
    tries = case when json_extract(row.value, '$.to_model') is null then tries + json_extract(row.value, '$.tries') else 0 end,
    model = coalesce(json_extract(row.value, '$.to_model'), model),
    counted_tokens = coalesce(json_extract(row.value, '$.to_counted_tokens'), counted_tokens),
    input_tokens = coalesce(json_extract(row.value, '$.to_input_tokens'), input_tokens),
    output_tokens = coalesce(json_extract(row.value, '$.to_output_tokens'), output_tokens),
    route_marks = coalesce(json_extract(row.value, '$.route_marks'), route_marks),
    fallbacks = fallbacks + (json_extract(row.value, '$.to_model') is not null),
    fallen_back_from = coalesce(json_extract(row.value, '$.fallen_back_from'), fallen_back_from),
    abandoned = abandoned + json_extract(row.value, '$.abandoned'),
    result = case when is_stored then coalesce(json_extract(row.value, '$.result'), result) end,
    request = case when is_stored or json_extract(row.value, '$.job_state') in ('queued', 'scheduled') then request else '' end,
    error_code = case when json_extract(row.value, '$.job_state') = 'succeeded' then '' else json_extract(row.value, '$.error_code') end,
    error_message = case when json_extract(row.value, '$.job_state') = 'succeeded' then '' else json_extract(row.value, '$.error_message') end,
    deployment = coalesce(json_extract(row.value, '$.won_at'), deployment),
    fingerprint = json_extract(row.value, '$.fingerprint'), requeue_requested = 0,
    used_input_tokens = used_input_tokens + json_extract(row.value, '$.input_tokens') + json_extract(row.value, '$.cached_tokens')
        + json_extract(row.value, '$.cache_write_tokens') + coalesce(json_extract(row.value, '$.beside_input_tokens'), 0),
    used_output_tokens = used_output_tokens + json_extract(row.value, '$.output_tokens')
        + coalesce(json_extract(row.value, '$.beside_output_tokens'), 0),
    nano_usd = nano_usd + json_extract(row.value, '$.nano_usd') + coalesce(json_extract(row.value, '$.beside_nano_usd'), 0),
    latency_ms = json_extract(row.value, '$.latency_ms'), queue_ms = json_extract(row.value, '$.queue_ms'),
    run_at = case when json_extract(row.value, '$.job_state') = 'scheduled'
        then strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now', '+' || (json_extract(row.value, '$.retry_ms') / 1000.0) || ' seconds') else run_at end,
    finished_at = case when json_extract(row.value, '$.job_state') in ('succeeded', 'failed', 'cancelled', 'expired')
        then strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now') end
from json_each(%s) as row
where rateguard_jobs_job.id = json_extract(row.value, '$.job_id') and rateguard_jobs_job.state = 'running'
-- part
insert or ignore into rateguard_jobs_outboxrow (job_id, kind, created_at)
select job.id, told.kind, strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now')
from json_each(%s) as row
join rateguard_jobs_job job on job.id = json_extract(row.value, '$.job_id')
join (select 'canvas' as kind, 0 as bit union all select 'webhook', 1 union all select 'signal', 2) as told
    on case told.bit when 0 then job.canvas is not null else job.tells & told.bit <> 0 end
where json_extract(row.value, '$.job_state') in ('succeeded', 'failed', 'cancelled', 'expired')
returning job_id

-- name: settle_calls
-- The end of synchronous calls, within the same transaction: inserts the closed attempt of each where there is none of its number yet (its fence),
-- then writes its charge. Rollups are the other parts' of "settle".
-- parameters: the rows json of calls; of the second part only those that the first returned (reservation, number).
insert into rateguard_jobs_attempt (reservation_id, number, job_id, tenant_id, state, model, deployment_id, deployment, holder, path, run,
    reserved_input_tokens, reserved_output_tokens, reserved_max_output_tokens, reserved_nano_usd, started_at, finished_at, error_code, error_message,
    input_tokens, cached_tokens, cache_write_tokens, output_tokens, nano_usd, is_estimated, latency_ms, provider_request_id, is_retry,
    cache_write_long_tokens, audio_input_tokens, audio_output_tokens, reasoning_tokens, tier, terms, searches)
select json_extract(row.value, '$.job_id'), json_extract(row.value, '$.attempt'),
    (select job.id from rateguard_jobs_job job where job.id = json_extract(row.value, '$.call.of_job')),
    json_extract(row.value, '$.call.tenant_id'), json_extract(row.value, '$.attempt_state'), json_extract(row.value, '$.call.model'),
    json_extract(row.value, '$.call.deployment_id'), json_extract(row.value, '$.call.deployment'), json_extract(row.value, '$.call.holder'),
    json_extract(row.value, '$.call.path'), json_extract(row.value, '$.call.run'), json_extract(row.value, '$.call.reserved_input_tokens'),
    json_extract(row.value, '$.call.reserved_output_tokens'), json_extract(row.value, '$.call.reserved_max_output_tokens'),
    json_extract(row.value, '$.call.reserved_nano_usd'),
    strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now', '-' || (json_extract(row.value, '$.call.started_ago_ms') / 1000.0) || ' seconds'),
    strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now'), json_extract(row.value, '$.error_code'), json_extract(row.value, '$.error_message'),
    json_extract(row.value, '$.input_tokens'), json_extract(row.value, '$.cached_tokens'), json_extract(row.value, '$.cache_write_tokens'),
    json_extract(row.value, '$.output_tokens'), json_extract(row.value, '$.nano_usd'), json_extract(row.value, '$.is_estimated'),
    json_extract(row.value, '$.latency_ms'), json_extract(row.value, '$.provider_request_id'), 0,
    json_extract(row.value, '$.cache_write_long_tokens'), json_extract(row.value, '$.audio_input_tokens'),
    json_extract(row.value, '$.audio_output_tokens'), json_extract(row.value, '$.reasoning_tokens'), json_extract(row.value, '$.tier'),
    json_extract(row.value, '$.terms'), json_extract(row.value, '$.searches')
from json_each(%s) as row
where true
on conflict (reservation_id, number) do nothing
returning reservation_id, number
-- part
insert into rateguard_tenants_ledgerentry (tenant_id, job_id, reservation_id, attempt, kind, nano_usd, input_tokens, cached_tokens,
    cache_write_tokens, output_tokens, is_estimated, is_overrun, model, deployment, api_key_id, team, rolegroup, role, "user", run, cost_center,
    labels, cache_write_long_tokens, audio_input_tokens, audio_output_tokens, reasoning_tokens, tier, terms, searches, created_at)
select json_extract(row.value, '$.call.tenant_id'), json_extract(row.value, '$.call.of_job'), json_extract(row.value, '$.job_id'),
    json_extract(row.value, '$.attempt'), 'charge', json_extract(row.value, '$.nano_usd'),
    json_extract(row.value, '$.input_tokens'), json_extract(row.value, '$.cached_tokens'), json_extract(row.value, '$.cache_write_tokens'),
    json_extract(row.value, '$.output_tokens'), json_extract(row.value, '$.is_estimated'), json_extract(row.value, '$.is_overrun'),
    json_extract(row.value, '$.call.model'), json_extract(row.value, '$.call.deployment'), json_extract(row.value, '$.call.api_key_id'),
    json_extract(row.value, '$.call.team'), json_extract(row.value, '$.call.rolegroup'), json_extract(row.value, '$.call.role'),
    json_extract(row.value, '$.call.user'), json_extract(row.value, '$.call.run'), json_extract(row.value, '$.call.cost_center'),
    json_extract(row.value, '$.call.labels'), json_extract(row.value, '$.cache_write_long_tokens'),
    json_extract(row.value, '$.audio_input_tokens'), json_extract(row.value, '$.audio_output_tokens'), json_extract(row.value, '$.reasoning_tokens'),
    json_extract(row.value, '$.tier'), json_extract(row.value, '$.terms'), json_extract(row.value, '$.searches'),
    strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now')
from json_each(%s) as row

-- name: charged
-- What ended attempts count in windows, summed by path, deployment and slice of their age. An attempt that never left counts nowhere.
-- parameters: by which age an attempt was opened at most, ms; the greatest age, ms; a slice, ms.
-- returns: path, deployment, the least age in the slice (ms since the sending), attempts, input tokens, output tokens, nano-dollars, and the
-- tokens that a provider counted on arrival.
with attempt as (
    select job_id, path, tenant_id, deployment_id, input_tokens + cached_tokens + cache_write_tokens as input_tokens, output_tokens, nano_usd,
        reserved_input_tokens, reserved_max_output_tokens,
        max(0, cast((julianday('now') - julianday(finished_at)) * 86400000 as integer) + coalesce(latency_ms, 0)) as age_ms
    from rateguard_jobs_attempt
    where state <> 'running' and started_at >= strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now', '-' || (%s / 1000.0) || ' seconds')
      and error_code not in ('connect', 'never_sent') and (is_estimated or state not in ('cancelled', 'abandoned'))
)
select coalesce(nullif(attempt.path, ''), job.path, cast(attempt.tenant_id as text)), attempt.deployment_id, min(attempt.age_ms), count(*), sum(attempt.input_tokens),
    sum(attempt.output_tokens), sum(attempt.nano_usd),
    sum(max(attempt.reserved_input_tokens, attempt.input_tokens) + attempt.reserved_max_output_tokens)
from attempt left join rateguard_jobs_job job on job.id = attempt.job_id
where attempt.age_ms <= %s
group by 1, 2, attempt.age_ms / %s
