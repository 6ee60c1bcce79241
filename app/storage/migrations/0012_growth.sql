-- What dashboards read stays fast while the ledger grows: counts are kept, and what is read newest first has an index.

SET LOCAL search_path = kvitto;

-- How many receipts have which outcome: kept in the transaction that writes the receipts, whoever writes them.
CREATE TABLE receipt_counts (
    provider text NOT NULL,
    outcome  outcome NOT NULL,
    receipts bigint NOT NULL,
    PRIMARY KEY (provider, outcome)
);
REVOKE ALL ON receipt_counts FROM kvitto_worker;
GRANT SELECT ON receipt_counts TO kvitto_worker;

CREATE FUNCTION count_receipts() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = kvitto, pg_temp
AS $$
BEGIN
    IF TG_OP IN ('DELETE', 'UPDATE') THEN
        INSERT INTO receipt_counts AS kept
        SELECT provider, outcome, -count(*) FROM removed GROUP BY provider, outcome ORDER BY provider, outcome
        ON CONFLICT (provider, outcome) DO UPDATE SET receipts = kept.receipts + excluded.receipts;
    END IF;
    IF TG_OP IN ('INSERT', 'UPDATE') THEN
        INSERT INTO receipt_counts AS kept
        SELECT provider, outcome, count(*) FROM added GROUP BY provider, outcome ORDER BY provider, outcome
        ON CONFLICT (provider, outcome) DO UPDATE SET receipts = kept.receipts + excluded.receipts;
    END IF;
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM receipt_counts;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER count_inserted AFTER INSERT ON receipts REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION count_receipts();
CREATE TRIGGER count_updated AFTER UPDATE ON receipts REFERENCING OLD TABLE AS removed NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION count_receipts();
CREATE TRIGGER count_deleted AFTER DELETE ON receipts REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION count_receipts();
CREATE TRIGGER count_truncated AFTER TRUNCATE ON receipts
    FOR EACH STATEMENT EXECUTE FUNCTION count_receipts();

-- Counts anew, with writers held back: what is there already, and what was written with triggers switched off.
CREATE FUNCTION recount_receipts() RETURNS void
LANGUAGE sql SET search_path = kvitto, pg_temp
AS $$
    LOCK TABLE receipts IN SHARE ROW EXCLUSIVE MODE;
    DELETE FROM receipt_counts;
    INSERT INTO receipt_counts SELECT provider, outcome, count(*) FROM receipts GROUP BY provider, outcome;
$$;
REVOKE EXECUTE ON FUNCTION count_receipts, recount_receipts FROM PUBLIC;
SELECT recount_receipts();

CREATE OR REPLACE VIEW reporting.conservation AS
SELECT provider,
       coalesce(sum(receipts) FILTER (WHERE outcome = 'stored'), 0)::bigint AS stored,
       coalesce(sum(receipts) FILTER (WHERE outcome = 'duplicate'), 0)::bigint AS duplicate,
       coalesce(sum(receipts) FILTER (WHERE outcome = 'dead'), 0)::bigint AS dead
FROM receipt_counts
GROUP BY provider
HAVING sum(receipts) <> 0;

-- date_bin instead of date_trunc, which goes by the session's zone: no index can have it. The index alone answers,
-- in the order of the groups: nothing is sorted but each group's latencies.
CREATE OR REPLACE VIEW reporting.throughput_per_minute AS
SELECT date_bin('1 minute', received_at, 'epoch') AS minute, provider, outcome::text AS outcome, count(*) AS deliveries,
       percentile_cont(0.50) WITHIN GROUP (ORDER BY latency_ms) AS p50_ms,
       percentile_cont(0.95) WITHIN GROUP (ORDER BY latency_ms) AS p95_ms,
       percentile_cont(0.99) WITHIN GROUP (ORDER BY latency_ms) AS p99_ms
FROM (
    SELECT *, date_part('epoch', processed_at - received_at) * 1000 AS latency_ms FROM receipts
) AS timed
GROUP BY date_bin('1 minute', received_at, 'epoch'), provider, outcome;
CREATE INDEX receipts_by_minute ON receipts (date_bin('1 minute', received_at, 'epoch'), provider, outcome)
    INCLUDE (received_at, processed_at);
-- An index alone answers where vacuum has been: by the number of what is new, not by its share.
ALTER TABLE receipts SET (autovacuum_vacuum_insert_threshold = 50000, autovacuum_vacuum_insert_scale_factor = 0);

-- A cast of an enum is not immutable to Postgres: no index could have it. What is rare among millions needs one.
CREATE OR REPLACE VIEW reporting.deliveries AS
SELECT receipt, provider, topic, event_type, entity_id,
       CASE outcome WHEN 'stored' THEN 'stored' WHEN 'duplicate' THEN 'duplicate' WHEN 'dead' THEN 'dead' END AS outcome,
       reason, received_at, processed_at
FROM receipts;
CREATE INDEX receipts_not_stored ON receipts (
    (CASE outcome WHEN 'stored' THEN 'stored' WHEN 'duplicate' THEN 'duplicate' WHEN 'dead' THEN 'dead' END),
    received_at
) WHERE CASE outcome WHEN 'stored' THEN 'stored' WHEN 'duplicate' THEN 'duplicate' WHEN 'dead' THEN 'dead' END <> 'stored';

-- What is new stands at the right end of these: adding to them is cheap.
CREATE INDEX receipts_by_time ON receipts (received_at);
CREATE INDEX events_by_time ON events (received_at);
CREATE INDEX kompar_applications_by_update ON kompar_applications (updated_at);
CREATE INDEX kompar_applications_by_time ON kompar_applications (received_at) INCLUDE (purpose, amount);
CREATE INDEX kompar_decisions_by_update ON kompar_decisions (updated_at);
CREATE INDEX solaris_credit_lines_by_update ON solaris_credit_lines (updated_at);
CREATE INDEX solaris_overdraft_rates_by_time ON solaris_overdraft_rates (received_at);
CREATE INDEX solaris_rejected_transactions_by_time ON solaris_rejected_transactions (received_at);
