-- Deliveries on their way to the ledger, and what the conservation audit knows of them.

SET LOCAL search_path = kvitto;

-- How far each provider's inbox was processed at the last sweep.
CREATE TABLE ingest_progress (
    provider       text PRIMARY KEY,
    complete_until timestamptz NOT NULL,
    pending        bigint NOT NULL,
    observed_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);
GRANT SELECT, INSERT, UPDATE ON ingest_progress TO kvitto_worker;

-- Deliveries that Redis could not take, or that are too large for it. Rows stay as the record of what came this way;
-- the sealed body goes when the ledger has it.
CREATE TABLE overflow (
    receipt        uuid PRIMARY KEY,
    provider       text NOT NULL,
    topic          text NOT NULL,
    headers        jsonb NOT NULL,
    ciphertext     bytea,
    received_at    timestamptz NOT NULL,
    seq            bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    delivery_count integer NOT NULL DEFAULT 0,
    claimed_by     text,
    claimed_at     timestamptz
);
ALTER TABLE overflow ALTER COLUMN ciphertext SET STORAGE EXTERNAL;  -- ciphertext does not compress
CREATE INDEX overflow_waiting ON overflow (provider, received_at, seq) WHERE ciphertext IS NOT NULL;
GRANT INSERT ON overflow TO kvitto_ingest;
GRANT SELECT, UPDATE (ciphertext, delivery_count, claimed_by, claimed_at) ON overflow TO kvitto_worker;

-- How many entries an epoch of an inbox had, and the last entry's stream id: the Redis server's own count, kept here
-- because that counter is lost with its server. `source` is 'sweep', or the id of the ingest process that appended.
CREATE TABLE inbox_high_water_marks (
    provider    text NOT NULL,
    epoch       uuid NOT NULL,
    source      text NOT NULL,
    appended    bigint NOT NULL,
    last_ms     bigint NOT NULL,
    last_seq    bigint NOT NULL,
    observed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (provider, epoch, source)
);
GRANT SELECT, INSERT, UPDATE ON inbox_high_water_marks TO kvitto_ingest, kvitto_worker;
-- Neither role can lower what the other has seen.
ALTER TABLE inbox_high_water_marks ENABLE ROW LEVEL SECURITY;
CREATE POLICY marks_of_ingest ON inbox_high_water_marks TO kvitto_ingest USING (source <> 'sweep');
CREATE POLICY marks_of_sweeps ON inbox_high_water_marks TO kvitto_worker USING (source = 'sweep');
CREATE POLICY marks_to_audit ON inbox_high_water_marks FOR SELECT TO kvitto_worker USING (true);

-- Work that goes round a failed server: ingest without Redis, workers without wake-ups. A row whose `last_at` is older
-- than a minute is over.
CREATE TABLE fallbacks (
    process  text NOT NULL,
    provider text NOT NULL,
    reason   text NOT NULL,
    since    timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (process, provider)
);
GRANT SELECT, INSERT, UPDATE ON fallbacks TO kvitto_ingest, kvitto_worker;

-- Each provider's last audit; alerted_at: when the log last reported missing entries.
CREATE TABLE audits (
    provider      text PRIMARY KEY,
    audited_at    timestamptz NOT NULL,
    appended      bigint NOT NULL,
    overflowed    bigint NOT NULL,
    receipts      bigint NOT NULL,
    copies        bigint NOT NULL,
    in_flight     bigint NOT NULL,
    accepted_loss bigint NOT NULL,
    missing       bigint NOT NULL,
    alerted_at    timestamptz
);
GRANT SELECT, INSERT, UPDATE ON audits TO kvitto_worker;

-- Losses that an operator accepted. The worker's role adds rows and cannot change them; the server fills the rest.
CREATE TABLE accepted_losses (
    provider    text NOT NULL,
    epoch       uuid NOT NULL,
    entries     bigint NOT NULL CHECK (entries > 0),
    reason      text NOT NULL CHECK (reason <> ''),
    operator    text NOT NULL,
    role        text NOT NULL DEFAULT session_user,
    accepted_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
GRANT SELECT, INSERT (provider, epoch, entries, reason, operator) ON accepted_losses TO kvitto_worker;

-- The newest canary that arrived, per provider: a delivery of our own that takes the whole path.
CREATE TABLE canaries (
    provider  text PRIMARY KEY,
    sent_at   timestamptz NOT NULL,
    stored_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
GRANT SELECT, INSERT, UPDATE ON canaries TO kvitto_worker;

-- Workers cannot delete rows of the overflow, which are its record. Canaries are no part of that record.
CREATE FUNCTION forget_canaries(receipts uuid[]) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = kvitto, pg_temp
AS $$ DELETE FROM overflow WHERE receipt = ANY(receipts) AND provider LIKE 'canary/%' $$;
REVOKE EXECUTE ON FUNCTION forget_canaries FROM PUBLIC;
GRANT EXECUTE ON FUNCTION forget_canaries TO kvitto_worker;

-- Attempts to process quarantined deliveries alone. A row is written before the attempt and deleted after it: what
-- is left here crashed its worker.
CREATE TABLE isolated_attempts (
    receipt  uuid NOT NULL,
    worker   uuid NOT NULL,
    attempts integer NOT NULL DEFAULT 1,
    PRIMARY KEY (receipt, worker)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON isolated_attempts TO kvitto_worker;
