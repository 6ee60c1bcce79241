-- Canaries: deliveries of our own that travel the whole path; of each provider's the newest that arrived.

SET LOCAL search_path = kvitto;

CREATE TABLE canaries (
    provider  text PRIMARY KEY,
    sent_at   timestamptz NOT NULL,
    stored_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE VIEW reporting.canaries AS
SELECT provider, sent_at, stored_at FROM canaries;

-- The overflow's rows are the record of what came that way, which workers cannot delete; canaries are no part of it.
CREATE FUNCTION forget_canaries(receipts uuid[]) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = kvitto, pg_temp
AS $$ DELETE FROM overflow WHERE receipt = ANY(receipts) AND provider LIKE 'canary/%' $$;
REVOKE EXECUTE ON FUNCTION forget_canaries FROM PUBLIC;

REVOKE DELETE ON canaries FROM kvitto_worker;
GRANT SELECT, INSERT, UPDATE ON canaries TO kvitto_worker;
GRANT EXECUTE ON FUNCTION forget_canaries TO kvitto_worker;
