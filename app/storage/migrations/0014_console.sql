-- The console: its users and their sessions, and what it searches. People are users of the console and no roles of
-- Postgres.

SET LOCAL search_path = kvitto;

GRANT USAGE ON SCHEMA kvitto TO kvitto_console;

CREATE TABLE console_users (
    name          text COLLATE "C" PRIMARY KEY,
    role          text NOT NULL CHECK (role IN ('viewer', 'operator', 'privacy')),
    password_hash text NOT NULL,  -- scrypt, with its salt
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);
GRANT SELECT ON console_users TO kvitto_console;

CREATE TABLE console_sessions (
    digest     bytea PRIMARY KEY,  -- SHA-256 of the cookie: a reader of this table cannot take over a session
    name       text COLLATE "C" NOT NULL,
    -- Of a person who signed in at the identity provider. A user with a password has the role of console_users.
    role       text CHECK (role IN ('viewer', 'operator', 'privacy')),
    local_name text COLLATE "C" GENERATED ALWAYS AS (CASE WHEN role IS NULL THEN name END) STORED
               REFERENCES console_users ON DELETE CASCADE,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX console_sessions_by_name ON console_sessions (name);
GRANT SELECT, INSERT, DELETE, UPDATE (seen_at) ON console_sessions TO kvitto_console;

-- Whatever a person does in the console is logged, and those with the right read the log there.
GRANT INSERT (action, operator, reason, provider, receipt, subject) ON access_log TO kvitto_console;
GRANT SELECT ON reporting.access_log TO kvitto_console;

-- What is rare among millions, in the order in which the console pages: receipt ids are in order of time, and each month
-- has its own. One index in that order does for dashboards too, so it takes the place of the one by time of receipt.
-- Nothing was released with the old ones, or without these.
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX receipts_not_stored;
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX receipts_not_stored ON receipts (
    (CASE outcome WHEN 'stored' THEN 'stored' WHEN 'duplicate' THEN 'duplicate' WHEN 'dead' THEN 'dead'
                  WHEN 'discarded' THEN 'discarded' END COLLATE "C"),
    receipt
)
WHERE CASE outcome WHEN 'stored' THEN 'stored' WHEN 'duplicate' THEN 'duplicate' WHEN 'dead' THEN 'dead'
                   WHEN 'discarded' THEN 'discarded' END COLLATE "C"
    <> 'stored';
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX receipts_with_reason ON receipts (reason COLLATE "C", receipt) WHERE reason IS NOT NULL;
-- Few events have flags. With the flags in it, this index alone answers which of them have a certain one.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX events_with_flags ON events (receipt) INCLUDE (flags) WHERE flags <> '{}';
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX access_log_by_action ON access_log (action COLLATE "C", number);

-- The newest receipts whose events are about an id, of whatever provider and event type.
CREATE FUNCTION receipts_of_entity(id text, most integer DEFAULT 10000) RETURNS SETOF uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = kvitto, pg_temp
AS $$ SELECT receipt FROM events WHERE entity_id = id ORDER BY received_at DESC LIMIT most $$;

-- The same of all that concerns a company, by its pseudonym: each projection with this column has an index on it.
CREATE FUNCTION receipts_of_company(company text) RETURNS SETOF uuid
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = kvitto, pg_temp
AS $$
DECLARE
    projection record;
BEGIN
    FOR projection IN
        SELECT provider, event_type, name FROM projections
        JOIN pg_attribute ON attrelid = to_regclass(name) AND attname = 'company_key'
    LOOP
        RETURN QUERY EXECUTE format(
            'SELECT receipt FROM (SELECT entity_id FROM %I WHERE company_key = $1 LIMIT 10000) AS found'
            ' JOIN events USING (entity_id) WHERE provider = $2 AND event_type = $3', projection.name
        ) USING company, projection.provider, projection.event_type;
    END LOOP;
END
$$;
REVOKE EXECUTE ON FUNCTION receipts_of_entity, receipts_of_company FROM PUBLIC;
GRANT EXECUTE ON FUNCTION receipts_of_entity, receipts_of_company TO kvitto_console;

-- What shows of a sealed body: which key sealed it, its size, and the headers that were kept.
CREATE VIEW sealed_bodies AS
SELECT receipt, convert_from(substring(ciphertext FROM 3 FOR get_byte(ciphertext, 1)), 'UTF8') AS key_id,
       octet_length(ciphertext) AS size, headers
FROM bodies;
GRANT SELECT ON sealed_bodies, events, dead_letters, answers, late_retry_findings, duplicate_entries, subscriptions,
    accepted_losses TO kvitto_console;
GRANT SELECT (receipt) ON overflow TO kvitto_console;

-- What operators ask workers to do with dead letters: only workers have keys, and rights on the ledger. Which letters
-- are meant is decided when the request is made.
CREATE TABLE operator_jobs (
    job          uuid PRIMARY KEY,
    kind         text NOT NULL CHECK (kind IN ('dry-run', 'replay', 'discard')),
    operator     text NOT NULL CHECK (operator <> ''),
    why          text CHECK (kind = 'dry-run' OR why <> ''),
    -- The filter: null selects all.
    provider     text,
    topic        text,
    reason       text,
    receipt      uuid,
    requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    cancelled_by text
);
GRANT SELECT, INSERT, UPDATE (cancelled_by) ON operator_jobs TO kvitto_console;
GRANT SELECT ON operator_jobs TO kvitto_worker;

-- A letter of a job, and what became of it. An attempt is recorded before it begins: one that never ends crashed its
-- worker, and is not repeated for ever.
CREATE TABLE operator_job_items (
    job         uuid NOT NULL REFERENCES operator_jobs,
    receipt     uuid NOT NULL,
    provider    text COLLATE "C" NOT NULL,
    attempts    integer NOT NULL DEFAULT 0,
    started_at  timestamptz,
    finished_at timestamptz,
    outcome     text,
    reason      text,
    detail      text,
    PRIMARY KEY (job, receipt)
);
CREATE INDEX operator_job_items_open ON operator_job_items (provider, job, receipt) WHERE finished_at IS NULL;
GRANT SELECT, INSERT (job, receipt, provider) ON operator_job_items TO kvitto_console;
GRANT SELECT, UPDATE (attempts, started_at, finished_at, outcome, reason, detail) ON operator_job_items
    TO kvitto_worker;

-- A body that a person asks to see. A worker opens it and encrypts it for the key of this request, whose private half
-- stays in the console's memory. The row goes when the answer was read, or after a minute.
CREATE TABLE reveal_requests (
    request      uuid PRIMARY KEY,
    receipt      uuid NOT NULL,
    provider     text COLLATE "C" NOT NULL,
    operator     text NOT NULL CHECK (operator <> ''),
    why          text NOT NULL CHECK (why <> ''),
    public_key   bytea NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    answer       bytea
);
GRANT SELECT, INSERT, DELETE ON reveal_requests TO kvitto_console;
GRANT SELECT, UPDATE (answer), DELETE ON reveal_requests TO kvitto_worker;

-- When each token and key of a provider was last used. Processes report what they have, by position or id.
CREATE TABLE credential_uses (
    provider          text COLLATE "C" NOT NULL,
    credential        text COLLATE "C" NOT NULL,
    last_used_at      timestamptz,
    first_reported_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    reported_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (provider, credential)
);
GRANT SELECT, INSERT (provider, credential, last_used_at), UPDATE (last_used_at, reported_at) ON credential_uses
    TO kvitto_ingest, kvitto_worker;
GRANT SELECT ON credential_uses TO kvitto_console;
