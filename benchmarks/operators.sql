-- What operators, clients and consumers leave in a year beside a ledger of %(total)s deliveries: jobs, a log, rejected
-- requests, findings of schema drift, cursors of the feed.
WITH jobs AS (
    INSERT INTO kvitto.operator_jobs (job, kind, operator, why, requested_at)
    SELECT md5('job' || n)::uuid, (ARRAY['dry-run', 'replay', 'discard'])[1 + n %% 3], 'ada', 'case ' || n,
           now() - interval '3 days' * (200 - n)
    FROM generate_series(1, 200) AS n RETURNING job
), numbered AS (
    SELECT receipt, row_number() OVER (ORDER BY receipt DESC) AS n FROM kvitto.dead_letters
), items AS (
    INSERT INTO kvitto.operator_job_items (job, receipt, provider, attempts, started_at, finished_at, outcome, reason)
    -- The first jobs are about thousands of letters, the others about some.
    SELECT md5('job' || of_job)::uuid, receipt, 'kompar', 1, now(), now(),
           CASE WHEN n %% 20 = 0 THEN 'dead' ELSE 'stored' END, CASE WHEN n %% 20 = 0 THEN 'invalid' END
    FROM generate_series(1, 200) AS of_job JOIN numbered ON n <= CASE WHEN of_job > 195 THEN 10000 ELSE 100 END
), log AS (
    INSERT INTO kvitto.access_log (logged_at, action, operator, reason, provider, receipt, subject)
    SELECT now() - interval '1 second' * (300000 - n), CASE WHEN n < 20 THEN 'erasure' WHEN n %% 3 = 0 THEN 'replay'
           WHEN n %% 3 = 1 THEN 'login' ELSE 'search' END, 'ada', 'case ' || n, 'kompar',
           CASE WHEN n %% 3 = 0 THEN md5(n::text)::uuid END, 'subject ' || n
    FROM generate_series(1, 300000) AS n
), counts AS (
    INSERT INTO kvitto.rejected_counts (minute, provider, reason, client, requests)
    SELECT date_trunc('minute', now()) - make_interval(mins => n / 10), 'kompar', 'wrong-token', '192.0.2.' || n %% 10, 2
    FROM generate_series(0, 100000) AS n
), rejected AS (
    INSERT INTO kvitto.rejected_requests
        (receipt, provider, reason, client, received_at, retried_until, size, request)
    SELECT md5('rejected' || n)::uuid, 'kompar', 'wrong-token', '192.0.2.' || n %% 10,
           now() - interval '30 seconds' * n, now(), 600, decode(repeat('ab', 600), 'hex')
    FROM generate_series(1, 20000) AS n
), drift AS (
    INSERT INTO kvitto.schema_drift (provider, event_type, path, json_type, value, kind, first_received_at,
                                     last_received_at, deliveries, receipt, known_since_install)
    SELECT 'kompar', kind, 'key' || n, 'string', '', 'key', now() - interval '1 day' * n, now(), 100,
           md5(n::text)::uuid, false
    FROM generate_series(1, 200) AS n, unnest(ARRAY['applications', 'decisions']) AS kind
), cursors AS (
    INSERT INTO kvitto.feed_cursors (consumer, provider, position)
    SELECT 'consumer-' || n, 'kompar', (%(total)s::bigint / 50 * n)::bigint FROM generate_series(0, 40) AS n
), hours AS (
    INSERT INTO kvitto.hourly_arrivals (provider, topic, hour, receipts, active, last_received_at)
    SELECT 'kompar', topic, date_trunc('hour', now()) - make_interval(hours => n), 500, repeat('1', 360)::bit(360),
           now() - make_interval(hours => n)
    FROM generate_series(0, 900) AS n, unnest(ARRAY['', 'applications', 'decisions']) AS topic
), expected AS (
    INSERT INTO kvitto.expected_arrivals (provider, topic, last_received_at, usual_gap_seconds, expected_by)
    SELECT 'kompar', topic, now(), 7, now() + interval '1 hour'
    FROM unnest(ARRAY['', 'applications', 'decisions']) AS topic
)
INSERT INTO kvitto.ingest_progress (provider, complete_until, pending) VALUES ('kompar', now(), 0), ('solaris', now(), 0)
