-- A past of many jobs, as settle would have written it: jobs, attempts, ledger entries, events, rollups. PostgreSQL.
-- Each statement adds jobs `first` to `last`; tenants, keys and deployments exist already, with ids from 1 on.

-- name: draw
-- parameters: last tenant, key of the first tenant, days, first, last.
create temporary table drawn on commit drop as
select number, gen_random_uuid() as id, tenant, tenant + %s as key, 'model-' || (1 + number %% 6) as model, 1 + number %% 12 as deployment,
    case when number %% 3 = 0 then '' else 'team-' || (number %% 4) end as team, 'user-' || (number %% 40) as "user", 1 + (number %% 5)::smallint as lane,
    case when number %% 50 = 0 then 'failed' when number %% 333 = 0 then 'cancelled' else 'succeeded' end as state,
    at, (50 * exp(3 * random()))::bigint as queue_ms, (300 * exp(2 * random()))::int as latency_ms,
    100 + (900 * random())::int as input_tokens, 20 + (480 * random())::int as output_tokens, (1e5 + 1e7 * random())::bigint as nano_usd
from (
    select number, 1 + floor(%s * random() ^ 1.5)::bigint as tenant, statement_timestamp() - random() * %s * interval '1 day' as at
    from generate_series(%s::bigint, %s::bigint) as number
) as placed

-- name: jobs
insert into rateguard_jobs_job (id, tenant_id, model, endpoint, lane, state, request, result, path, input_tokens, output_tokens, max_output_tokens,
    "user", team, rolegroup, role, cost_center, labels, metadata, api_key_id, downgraded_from, request_id, via, submitted_at, queued_at, started_at,
    finished_at, timeout_s, max_tries, delivery, attempt, tries, abandoned, holder, cancel_requested, error_code, error_message, deployment,
    used_input_tokens, used_output_tokens, nano_usd, latency_ms, queue_ms, request_hash)
select id, tenant, model, 'chat', lane, state, '{"messages": [{"role": "user", "content": "How many eggs are left?"}]}', '{"choices": []}', tenant || '|user:' || "user",
    input_tokens, output_tokens, 512, "user", team, '', '', '', jsonb_build_object('feature', 'f-' || (number %% 5)), '{}', key, '', 'r-' || number, 'rest',
    at, at, at + queue_ms * interval '1 millisecond', at + (queue_ms + latency_ms) * interval '1 millisecond', 600, 5, 'at_least_once', 1, 0, 0, '', false,
    case when state = 'failed' then 'provider_error' else '' end, '', 'deployment-' || deployment, input_tokens, output_tokens, nano_usd, latency_ms, queue_ms, ''
from drawn

-- name: attempts
insert into rateguard_jobs_attempt (reservation_id, number, job_id, tenant_id, state, model, deployment_id, deployment, holder, reserved_input_tokens,
    reserved_output_tokens, reserved_max_output_tokens, reserved_nano_usd, started_at, finished_at, error_code, error_message, input_tokens,
    cached_tokens, cache_write_tokens, output_tokens, nano_usd, is_estimated, latency_ms, provider_request_id)
select id, 1, id, tenant, case when state = 'succeeded' then 'succeeded' else 'failed' end, model, deployment, 'deployment-' || deployment, 'bench', input_tokens, output_tokens, 512, nano_usd,
    at + queue_ms * interval '1 millisecond', at + (queue_ms + latency_ms) * interval '1 millisecond', '', '', input_tokens, 0, 0, output_tokens,
    nano_usd, false, latency_ms, ''
from drawn

-- name: events
insert into rateguard_jobs_jobevent (job_id, kind, attempt, at, detail)
select id, kind, 1, at + (queue_ms + latency_ms) * place * interval '1 millisecond', '{}'
from drawn cross join (values ('submitted', 0), ('started', 0.5), ('finished', 1)) as step(kind, place)

-- name: entries
insert into rateguard_tenants_ledgerentry (tenant_id, job_id, reservation_id, attempt, kind, nano_usd, input_tokens, cached_tokens, cache_write_tokens,
    output_tokens, is_estimated, is_overrun, model, deployment, api_key_id, team, rolegroup, role, "user", cost_center, labels, created_at)
select tenant, id, id, 1, 'charge', nano_usd, input_tokens, 0, 0, output_tokens, false, false, model, 'deployment-' || deployment, key, team, '', '',
    "user", '', jsonb_build_object('feature', 'f-' || (number %% 5)), at + (queue_ms + latency_ms) * interval '1 millisecond'
from drawn

-- name: quarters
insert into rateguard_tenants_usagequarter as quarter (tenant_id, model, deployment, api_key_id, team, starts_at, jobs, succeeded, failed, input_tokens,
    cached_tokens, cache_write_tokens, output_tokens, nano_usd)
select tenant, model, 'deployment-' || deployment, key, team,
    date_bin('15 minutes', at + (queue_ms + latency_ms) * interval '1 millisecond', timestamptz '2000-01-01 00:00Z'),
    count(*), count(*) filter (where state = 'succeeded'), count(*) filter (where state = 'failed'), sum(input_tokens), 0, 0, sum(output_tokens), sum(nano_usd)
from drawn group by 1, 2, 3, 4, 5, 6
on conflict (tenant_id, model, deployment, api_key_id, team, starts_at) do update set
    jobs = quarter.jobs + excluded.jobs, succeeded = quarter.succeeded + excluded.succeeded, failed = quarter.failed + excluded.failed,
    input_tokens = quarter.input_tokens + excluded.input_tokens, output_tokens = quarter.output_tokens + excluded.output_tokens,
    nano_usd = quarter.nano_usd + excluded.nano_usd

-- name: bins
insert into rateguard_tenants_usagequarterbin as bin (quarter_id, measure, bin, count)
select quarter.id, measured.measure, case when measured.value < 16 then measured.value else 16 + floor(8 * ln(measured.value / 16.0) / ln(2)) end, count(*)
from drawn
join rateguard_tenants_usagequarter quarter on quarter.tenant_id = drawn.tenant and quarter.model = drawn.model
    and quarter.deployment = 'deployment-' || drawn.deployment and quarter.api_key_id = drawn.key and quarter.team = drawn.team
    and quarter.starts_at = date_bin('15 minutes', drawn.at + (drawn.queue_ms + drawn.latency_ms) * interval '1 millisecond', timestamptz '2000-01-01 00:00Z')
cross join lateral (values (1, drawn.latency_ms), (2, drawn.queue_ms), (3, drawn.output_tokens)) as measured(measure, value)
where drawn.state = 'succeeded'
group by 1, 2, 3
on conflict (quarter_id, measure, bin) do update set count = bin.count + excluded.count

-- name: days
insert into rateguard_tenants_usageday as day (tenant_id, day, dimension, value, jobs, input_tokens, output_tokens, nano_usd)
select tenant, ((at + (queue_ms + latency_ms) * interval '1 millisecond') at time zone 'UTC')::date, dimension, value, count(*), sum(input_tokens),
    sum(output_tokens), sum(nano_usd)
from drawn cross join lateral (values ('user', drawn."user"), ('label', 'feature=f-' || (number %% 5))) as part(dimension, value)
group by 1, 2, 3, 4
on conflict (tenant_id, day, dimension, value) do update set
    jobs = day.jobs + excluded.jobs, input_tokens = day.input_tokens + excluded.input_tokens,
    output_tokens = day.output_tokens + excluded.output_tokens, nano_usd = day.nano_usd + excluded.nano_usd
