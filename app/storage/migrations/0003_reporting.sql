-- What dashboards read: stable names, no clear national id, a role that sees nothing else.

CREATE SCHEMA reporting;
SET LOCAL search_path = kvitto;

CREATE VIEW reporting.kompar_applications AS
SELECT entity_id AS application_id, name, company_id, company_name, company_type, company_revenue, company_age,
       amount, duration, purpose, guarantor_count, extra, flags, revision, received_at, updated_at
FROM kompar_applications;

CREATE VIEW reporting.kompar_decisions AS
SELECT entity_id AS application_id, accepted, phone, email, offer_id, extra, flags, revision, received_at, updated_at
FROM kompar_decisions;

CREATE VIEW reporting.deliveries AS
SELECT receipt, provider, topic, event_type, entity_id, outcome::text AS outcome, reason, received_at, processed_at
FROM receipts;

CREATE VIEW reporting.events AS
SELECT provider, event_type, entity_id, revision, content, flags, receipt, received_at
FROM events
WHERE revision IS NOT NULL;

CREATE VIEW reporting.dead_letters AS
SELECT receipt, provider, topic, dead_letters.reason, detail, received_at, replayed_at
FROM dead_letters JOIN receipts USING (receipt);

CREATE VIEW reporting.conservation AS
SELECT provider,
       count(*) FILTER (WHERE outcome = 'stored') AS stored,
       count(*) FILTER (WHERE outcome = 'duplicate') AS duplicate,
       count(*) FILTER (WHERE outcome = 'dead') AS dead
FROM receipts
GROUP BY provider;

CREATE VIEW reporting.throughput_per_minute AS
SELECT date_trunc('minute', received_at) AS minute, provider, outcome::text AS outcome, count(*) AS deliveries,
       percentile_cont(0.50) WITHIN GROUP (ORDER BY latency_ms) AS p50_ms,
       percentile_cont(0.95) WITHIN GROUP (ORDER BY latency_ms) AS p95_ms,
       percentile_cont(0.99) WITHIN GROUP (ORDER BY latency_ms) AS p99_ms
FROM (
    SELECT *, extract(epoch FROM processed_at - received_at)::double precision * 1000 AS latency_ms FROM receipts
) AS timed
GROUP BY date_trunc('minute', received_at), provider, outcome;

CREATE VIEW reporting.freshness AS
SELECT provider, complete_until, pending FROM looks;

-- Roles belong to the whole server: another database's migration may have made this one, or be making it now.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'kvitto_dashboard') THEN
        CREATE ROLE kvitto_dashboard LOGIN;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL;
END
$$;

GRANT USAGE ON SCHEMA reporting TO kvitto_dashboard;
GRANT SELECT ON ALL TABLES IN SCHEMA reporting TO kvitto_dashboard;
ALTER DEFAULT PRIVILEGES IN SCHEMA reporting GRANT SELECT ON TABLES TO kvitto_dashboard;
DO $$
BEGIN
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
END
$$;
