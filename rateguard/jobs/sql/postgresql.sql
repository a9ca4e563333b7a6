-- Each statement: what it does, its parameters, what it returns, what it costs.

-- name: claim
-- queued → running, only with the gate's epoch unchanged and a number above the last; opens the attempt and writes the event.
-- parameters: rows json [{id, attempt, deployment, deployment_id, cost}], epoch, holder, holder.
-- returns: what a call needs, a row a claimed job. The epoch's row is share-locked: a rebuild counts attempts only after every claim under the old epoch.
with grants as (
    select * from json_to_recordset(%s::json) as row(id uuid, attempt int, deployment text, deployment_id bigint, cost bigint)
), epoch as materialized (
    select number from rateguard_tenants_gateepoch where id = 1 and number = %s for share
), job as (
    update rateguard_jobs_job job
    set state = 'running', attempt = grants.attempt, holder = %s, started_at = statement_timestamp(), deployment = grants.deployment
    from grants, epoch
    where job.id = grants.id and job.state = 'queued' and job.attempt < grants.attempt
      and (job.deadline_at is null or job.deadline_at > statement_timestamp())
    returning job.id, job.tenant_id, job.model, job.endpoint, job.request, job.attempt, job.input_tokens, job.output_tokens, job.max_output_tokens,
        job.timeout_s, job.tries, job.max_tries, job.delivery, job.deadline_at, job.submitted_at, job.queued_at, job.deployment, grants.deployment_id,
        grants.cost, job.run, job.connect_timeout_s, job.first_token_timeout_s, job.is_stored, job.lane, job.route_marks
), attempt as (
    insert into rateguard_jobs_attempt (reservation_id, number, job_id, tenant_id, state, model, deployment_id, deployment, holder,
        reserved_input_tokens, reserved_output_tokens, reserved_max_output_tokens, reserved_nano_usd, started_at, error_code, error_message,
        input_tokens, cached_tokens, cache_write_tokens, output_tokens, nano_usd, is_estimated, provider_request_id, is_retry)
    select id, attempt, id, tenant_id, 'running', model, deployment_id, deployment, %s, input_tokens, output_tokens, max_output_tokens, cost,
        statement_timestamp(), '', '', 0, 0, 0, 0, 0, false, '', tries > 0
    from job
), event as (
    insert into rateguard_jobs_jobevent (job_id, kind, attempt, at, detail)
    select id, 'started', attempt, statement_timestamp(), '{}' from job
)
select id, attempt, endpoint, model, request, deployment_id, tenant_id, input_tokens, max_output_tokens, cost, timeout_s, tries, max_tries, delivery,
    extract(epoch from deadline_at - statement_timestamp())::float8, greatest(0, extract(epoch from statement_timestamp() - queued_at) * 1000)::bigint, run,
    connect_timeout_s, first_token_timeout_s, is_stored, lane, route_marks
from job

-- name: settle
-- The end of attempts: closes each that is still open (the fence), moves its job, writes the charge, the rollups, the event and the outbox. All or nothing.
-- A synchronous call has no row before: its attempt is inserted closed, where there is none of its number yet (its fence).
-- parameters: rows json, see settle.py.
-- returns: (job, attempt, whether its end is to be told, the gate's epoch if there are calls) of those that were open. What was fenced changed
-- nothing. Of calls the epoch's row is share-locked: a rebuild of the gate counts either the whole of this or nothing of it.
-- Keys are updated in their order, so that two writers never wait for each other in a circle.
with ended as (
    select * from json_to_recordset(%s::json) as row(job_id uuid, attempt int, attempt_state text, transition text, job_state text, tries int,
        abandoned int, retry_ms bigint, result text, error_code text, error_message text, input_tokens bigint, cached_tokens bigint,
        cache_write_tokens bigint, output_tokens bigint, nano_usd bigint, is_estimated boolean, is_overrun boolean, latency_ms int,
        provider_request_id text, latency_bin int, output_bin int, wait_bin int, queue_ms bigint, fingerprint text, cache_write_long_tokens bigint,
        audio_input_tokens bigint, audio_output_tokens bigint, reasoning_tokens bigint, tier text, terms text, searches int,
        detail jsonb, route_marks text, to_model text, to_counted_tokens int, to_input_tokens int, to_output_tokens int, fallen_back_from text,
        beside_nano_usd bigint, beside_input_tokens bigint, beside_output_tokens bigint, won_at text, hedged jsonb, call jsonb)
), asked as (
    select ended.*, of_call.*
    from ended cross join lateral jsonb_to_record(ended.call) as of_call(of_job uuid, tenant_id bigint, model text, deployment_id bigint,
        deployment text, holder text, path text, reserved_input_tokens int, reserved_output_tokens int, reserved_max_output_tokens int,
        reserved_nano_usd bigint, started_ago_ms bigint, api_key_id bigint, team text, rolegroup text, role text, "user" text, run uuid,
        cost_center text, labels jsonb)
    where ended.call is not null
), epoch as materialized (
    select number from rateguard_tenants_gateepoch where id = 1 and exists (select 1 from asked) for share
), call as (
    insert into rateguard_jobs_attempt (reservation_id, number, job_id, tenant_id, state, model, deployment_id, deployment, holder, path, run,
        reserved_input_tokens, reserved_output_tokens, reserved_max_output_tokens, reserved_nano_usd, started_at, finished_at, error_code,
        error_message, input_tokens, cached_tokens, cache_write_tokens, output_tokens, nano_usd, is_estimated, latency_ms, provider_request_id,
        is_retry, cache_write_long_tokens, audio_input_tokens, audio_output_tokens, reasoning_tokens, tier, terms, searches)
    select job_id, attempt, (select job.id from rateguard_jobs_job job where job.id = of_job), tenant_id, attempt_state, model, deployment_id,
        deployment, holder, path, run, reserved_input_tokens, reserved_output_tokens, reserved_max_output_tokens, reserved_nano_usd,
        statement_timestamp() - started_ago_ms * interval '1 millisecond', statement_timestamp(), error_code, error_message, input_tokens,
        cached_tokens, cache_write_tokens, output_tokens, nano_usd, is_estimated, latency_ms, provider_request_id, false,
        cache_write_long_tokens, audio_input_tokens, audio_output_tokens, reasoning_tokens, tier, terms, searches
    from asked order by job_id, attempt
    on conflict (reservation_id, number) do nothing
    returning reservation_id, number
), attempt as (
    update rateguard_jobs_attempt attempt
    set state = ended.attempt_state, finished_at = statement_timestamp(), error_code = ended.error_code, error_message = ended.error_message,
        input_tokens = ended.input_tokens, cached_tokens = ended.cached_tokens, cache_write_tokens = ended.cache_write_tokens,
        output_tokens = ended.output_tokens, nano_usd = ended.nano_usd, is_estimated = ended.is_estimated, latency_ms = ended.latency_ms,
        provider_request_id = ended.provider_request_id, cache_write_long_tokens = ended.cache_write_long_tokens,
        audio_input_tokens = ended.audio_input_tokens, audio_output_tokens = ended.audio_output_tokens,
        reasoning_tokens = ended.reasoning_tokens, tier = ended.tier, terms = ended.terms, searches = ended.searches
    from (select * from ended order by job_id, attempt) ended
    where attempt.reservation_id = ended.job_id and attempt.number = ended.attempt and attempt.state = 'running'
    returning ended.*, attempt.deployment as ran_at, attempt.model as ran_as
), job as (
    update rateguard_jobs_job job
    set state = attempt.job_state, holder = '',
        tries = case when attempt.to_model is null then job.tries + attempt.tries else 0 end, abandoned = job.abandoned + attempt.abandoned,
        model = coalesce(attempt.to_model, job.model), counted_tokens = coalesce(attempt.to_counted_tokens, job.counted_tokens),
        input_tokens = coalesce(attempt.to_input_tokens, job.input_tokens), output_tokens = coalesce(attempt.to_output_tokens, job.output_tokens),
        route_marks = coalesce(attempt.route_marks, job.route_marks), fallbacks = job.fallbacks + (attempt.to_model is not null)::int,
        fallen_back_from = coalesce(attempt.fallen_back_from, job.fallen_back_from),
        result = case when job.is_stored then coalesce(attempt.result, job.result) end,
        request = case when job.is_stored or attempt.job_state in ('queued', 'scheduled') then job.request else '' end,
        error_code = case when attempt.job_state = 'succeeded' then '' else attempt.error_code end,
        error_message = case when attempt.job_state = 'succeeded' then '' else attempt.error_message end,
        fingerprint = attempt.fingerprint, requeue_requested = false, deployment = coalesce(attempt.won_at, job.deployment),
        used_input_tokens = job.used_input_tokens + attempt.input_tokens + attempt.cached_tokens + attempt.cache_write_tokens
            + coalesce(attempt.beside_input_tokens, 0),
        used_output_tokens = job.used_output_tokens + attempt.output_tokens + coalesce(attempt.beside_output_tokens, 0),
        nano_usd = job.nano_usd + attempt.nano_usd + coalesce(attempt.beside_nano_usd, 0), latency_ms = attempt.latency_ms, queue_ms = attempt.queue_ms,
        run_at = case when attempt.job_state = 'scheduled'
            then statement_timestamp() + attempt.retry_ms * interval '1 millisecond' else job.run_at end,
        finished_at = case when attempt.job_state in ('succeeded', 'failed', 'cancelled', 'expired') then statement_timestamp() end
    from attempt
    where job.id = attempt.job_id and job.attempt = attempt.attempt and job.state = 'running'
    returning attempt.*, job.tenant_id, attempt.ran_as as model, job.api_key_id, job.team, job.rolegroup, job.role, job.user, job.run, job.cost_center, job.labels,
        job.canvas is not null as has_canvas, job.tells,
        (job.canvas is not null or job.tells <> 0) and attempt.job_state in ('succeeded', 'failed', 'cancelled', 'expired') as is_told
), done as (
    select job_id as of_job, job_id, attempt, job_state, is_told, nano_usd, input_tokens, cached_tokens, cache_write_tokens, output_tokens,
        is_estimated, is_overrun, latency_bin, wait_bin, output_bin, cache_write_long_tokens, audio_input_tokens, audio_output_tokens,
        reasoning_tokens, tier, terms, searches, ran_at, tenant_id, model, api_key_id, team, rolegroup, role, "user", run, cost_center, labels
    from job
    union all
    select of_job, job_id, attempt, job_state, false, nano_usd, input_tokens, cached_tokens, cache_write_tokens, output_tokens,
        is_estimated, is_overrun, latency_bin, wait_bin, output_bin, cache_write_long_tokens, audio_input_tokens, audio_output_tokens,
        reasoning_tokens, tier, terms, searches, deployment, tenant_id, model, api_key_id, team, rolegroup, role, "user", run, cost_center, labels
    from call join asked on asked.job_id = call.reservation_id and asked.attempt = call.number
), entry as (
    insert into rateguard_tenants_ledgerentry (tenant_id, job_id, reservation_id, attempt, kind, nano_usd, input_tokens, cached_tokens,
        cache_write_tokens, output_tokens, is_estimated, is_overrun, model, deployment, api_key_id, team, rolegroup, role, "user", run, cost_center, labels,
        cache_write_long_tokens, audio_input_tokens, audio_output_tokens, reasoning_tokens, tier, terms, searches, created_at)
    select tenant_id, of_job, job_id, attempt, 'charge', nano_usd, input_tokens, cached_tokens, cache_write_tokens, output_tokens, is_estimated,
        is_overrun, model, ran_at, api_key_id, team, rolegroup, role, "user", run, cost_center, labels, cache_write_long_tokens,
        audio_input_tokens, audio_output_tokens, reasoning_tokens, tier, terms, searches, statement_timestamp()
    from done
), quarter as (
    insert into rateguard_tenants_usagequarter as quarter (tenant_id, model, deployment, api_key_id, team, starts_at, jobs, succeeded, failed,
        input_tokens, cached_tokens, cache_write_tokens, output_tokens, nano_usd)
    select tenant_id, model, ran_at, coalesce(api_key_id, 0), team, date_bin('15 minutes', statement_timestamp(), timestamptz '2000-01-01 00:00Z'),
        count(*) filter (where job_state in ('succeeded', 'failed', 'cancelled', 'expired')), count(*) filter (where job_state = 'succeeded'),
        count(*) filter (where job_state = 'failed'), sum(input_tokens), sum(cached_tokens), sum(cache_write_tokens), sum(output_tokens), sum(nano_usd)
    from done group by 1, 2, 3, 4, 5, 6 order by 1, 2, 3, 4, 5, 6
    on conflict (tenant_id, model, deployment, api_key_id, team, starts_at) do update set
        jobs = quarter.jobs + excluded.jobs, succeeded = quarter.succeeded + excluded.succeeded, failed = quarter.failed + excluded.failed,
        input_tokens = quarter.input_tokens + excluded.input_tokens, cached_tokens = quarter.cached_tokens + excluded.cached_tokens,
        cache_write_tokens = quarter.cache_write_tokens + excluded.cache_write_tokens,
        output_tokens = quarter.output_tokens + excluded.output_tokens, nano_usd = quarter.nano_usd + excluded.nano_usd
    returning id, tenant_id, model, deployment, api_key_id, team
), bin as (
    insert into rateguard_tenants_usagequarterbin as bin (quarter_id, measure, bin, count)
    select quarter.id, measured.measure, measured.bin, count(*)
    from done
    join quarter on quarter.tenant_id = done.tenant_id and quarter.model = done.model and quarter.deployment = done.ran_at
        and quarter.api_key_id = coalesce(done.api_key_id, 0) and quarter.team = done.team
    cross join lateral (values (1, done.latency_bin), (2, done.wait_bin), (3, done.output_bin)) as measured(measure, bin)
    where done.job_state = 'succeeded'
    group by 1, 2, 3 order by 1, 2, 3
    on conflict (quarter_id, measure, bin) do update set count = bin.count + excluded.count
), day as (
    insert into rateguard_tenants_usageday as day (tenant_id, day, dimension, value, jobs, input_tokens, output_tokens, nano_usd)
    select tenant_id, (statement_timestamp() at time zone 'UTC')::date, dimension, value,
        count(*) filter (where job_state in ('succeeded', 'failed', 'cancelled', 'expired')),
        sum(input_tokens + cached_tokens + cache_write_tokens), sum(output_tokens), sum(nano_usd)
    from done
    cross join lateral (
        select 'user' as dimension, done.user as value where done.user <> ''
        union all
        select 'label', label.key || '=' || label.value from jsonb_each_text(done.labels) as label
    ) as part
    group by 1, 2, 3, 4 order by 1, 2, 3, 4
    on conflict (tenant_id, day, dimension, value) do update set
        jobs = day.jobs + excluded.jobs, input_tokens = day.input_tokens + excluded.input_tokens,
        output_tokens = day.output_tokens + excluded.output_tokens, nano_usd = day.nano_usd + excluded.nano_usd
), event as (
    insert into rateguard_jobs_jobevent (job_id, kind, attempt, at, detail)
    select job_id, 'hedged', attempt, statement_timestamp(), hedged from job where hedged is not null
    union all
    select job_id, transition, attempt, statement_timestamp(), detail from job
), outbox as (
    insert into rateguard_jobs_outboxrow (job_id, kind, created_at)
    select job_id, told.kind, statement_timestamp()
    from job
    cross join lateral (values ('canvas', has_canvas), ('webhook', tells & 1 <> 0), ('signal', tells & 2 <> 0)) as told(kind, is_wanted)
    where is_told and told.is_wanted
    on conflict (job_id, kind) do nothing
)
select job_id, attempt, is_told, (select number from epoch) from done

-- name: charged
-- What ended attempts count in windows, summed by path, deployment and slice of their age. An attempt that never left counts nowhere.
-- parameters: by which age an attempt was opened at most, ms; the greatest age, ms; a slice, ms.
-- returns: path, deployment, the least age in the slice (ms since the sending), attempts, input tokens, output tokens, nano-dollars, and the
-- tokens that a provider counted on arrival.
with attempt as (
    select job_id, path, tenant_id, deployment_id, input_tokens + cached_tokens + cache_write_tokens as input_tokens, output_tokens, nano_usd,
        reserved_input_tokens, reserved_max_output_tokens,
        greatest(0, (extract(epoch from statement_timestamp() - finished_at) * 1000)::bigint + coalesce(latency_ms, 0)) as age_ms
    from rateguard_jobs_attempt
    where state <> 'running' and started_at >= statement_timestamp() - %s * interval '1 millisecond'
      and error_code not in ('connect', 'never_sent') and (is_estimated or state not in ('cancelled', 'abandoned'))
)
select coalesce(nullif(attempt.path, ''), job.path, attempt.tenant_id::text), attempt.deployment_id, min(attempt.age_ms), count(*), sum(attempt.input_tokens)::bigint,
    sum(attempt.output_tokens)::bigint, sum(attempt.nano_usd)::bigint,
    sum(greatest(attempt.reserved_input_tokens, attempt.input_tokens) + attempt.reserved_max_output_tokens)::bigint
from attempt left join rateguard_jobs_job job on job.id = attempt.job_id
where attempt.age_ms <= %s
group by 1, 2, attempt.age_ms / %s
