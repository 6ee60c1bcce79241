-- The ledger: one receipt for every delivery that was answered 200, its sealed body, and the event it holds.

SET LOCAL search_path = kvitto;

CREATE TYPE outcome AS ENUM ('stored', 'duplicate', 'dead', 'discarded');
CREATE TYPE feed_change AS ENUM ('new', 'corrected', 'erased');

-- Narrow on purpose: counts, lists and the audit read this table.
CREATE TABLE receipts (
    receipt      uuid PRIMARY KEY,
    provider     text COLLATE "C" NOT NULL,
    topic        text NOT NULL,
    event_type   text,
    entity_id    text,
    outcome      outcome NOT NULL,
    reason       text,
    received_at  timestamptz NOT NULL,
    processed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- The entry's epoch and its stream id in it; received_at holds the milliseconds of that id.
    epoch        uuid NOT NULL,
    seq          bigint NOT NULL,
    -- An erased receipt is a tombstone: it counts, and nothing else of its delivery is left.
    erased_at    timestamptz,
    CHECK ((outcome = 'dead') <= (reason IS NOT NULL))
);
CREATE INDEX receipts_by_position ON receipts (provider, epoch, received_at, seq);
CREATE INDEX receipts_by_outcome ON receipts (provider, outcome);
-- New rows go to the right end of this index, so that adding to it is cheap.
CREATE INDEX receipts_by_time ON receipts (received_at);
CREATE INDEX receipts_by_minute ON receipts (date_bin('1 minute', received_at, 'epoch'), provider, outcome)
    INCLUDE (received_at, processed_at);
-- What is rare among millions needs an index. A cast of an enum is not immutable to Postgres, so no index can hold one.
CREATE INDEX receipts_not_stored ON receipts (
    (CASE outcome WHEN 'stored' THEN 'stored' WHEN 'duplicate' THEN 'duplicate' WHEN 'dead' THEN 'dead'
                  WHEN 'discarded' THEN 'discarded' END COLLATE "C"),
    received_at
)
WHERE CASE outcome WHEN 'stored' THEN 'stored' WHEN 'duplicate' THEN 'duplicate' WHEN 'dead' THEN 'dead'
                   WHEN 'discarded' THEN 'discarded' END COLLATE "C"
    <> 'stored';
-- Index-only scans need a recent vacuum: run one by the number of new rows, not by their share of the table.
ALTER TABLE receipts SET (autovacuum_vacuum_insert_threshold = 50000, autovacuum_vacuum_insert_scale_factor = 0);
GRANT SELECT, INSERT ON receipts TO kvitto_worker;
GRANT UPDATE (outcome, reason, event_type, entity_id, received_at, epoch, seq) ON receipts TO kvitto_worker;

-- How many receipts have which outcome. Triggers update it in the transaction that writes the receipts, in any role:
-- counting all receipts would take longer with every day of the ledger.
CREATE TABLE receipt_counts (
    provider text COLLATE "C" NOT NULL,
    outcome  outcome NOT NULL,
    receipts bigint NOT NULL,
    PRIMARY KEY (provider, outcome)
);
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

-- Counts again while writers wait: for the owner, after receipts were written with triggers switched off.
CREATE FUNCTION recount_receipts() RETURNS void
LANGUAGE sql SET search_path = kvitto, pg_temp
AS $$
    LOCK TABLE receipts IN SHARE ROW EXCLUSIVE MODE;
    DELETE FROM receipt_counts;
    INSERT INTO receipt_counts SELECT provider, outcome, count(*) FROM receipts GROUP BY provider, outcome;
$$;
REVOKE EXECUTE ON FUNCTION count_receipts, recount_receipts FROM PUBLIC;

-- Why a receipt is, or was, a dead letter. A replay keeps the row, and so does an operator who discards the letter.
CREATE TABLE dead_letters (
    receipt      uuid PRIMARY KEY REFERENCES receipts,
    reason       text NOT NULL,
    detail       text NOT NULL,
    replayed_at  timestamptz,
    discarded_at timestamptz
);
GRANT SELECT, INSERT, UPDATE ON dead_letters TO kvitto_worker;

-- Further entries of a receipt: the answer to an append was lost, and the delivery was appended once more.
CREATE TABLE duplicate_entries (
    provider    text COLLATE "C" NOT NULL,
    epoch       uuid NOT NULL,
    received_at timestamptz NOT NULL,
    seq         bigint NOT NULL,
    receipt     uuid NOT NULL REFERENCES receipts,
    PRIMARY KEY (provider, epoch, received_at, seq)
);
GRANT SELECT, INSERT ON duplicate_entries TO kvitto_worker;

-- The sealed bodies: the only place with clear values, in a table of its own so that a body can be erased alone.
CREATE TABLE bodies (
    receipt    uuid PRIMARY KEY REFERENCES receipts ON DELETE CASCADE,
    headers    jsonb NOT NULL,
    ciphertext bytea NOT NULL
);
ALTER TABLE bodies ALTER COLUMN ciphertext SET STORAGE EXTERNAL;  -- ciphertext does not compress
GRANT SELECT, INSERT ON bodies TO kvitto_worker;

-- The content of every valid receipt; `revision` is null for a duplicate. Duplicates keep their content too: an older
-- receipt that arrives late may turn one of them into a revision.
CREATE TABLE events (
    receipt           uuid PRIMARY KEY REFERENCES receipts,
    provider          text COLLATE "C" NOT NULL,
    event_type        text COLLATE "C" NOT NULL,
    entity_id         text COLLATE "C",  -- null once erased
    received_at       timestamptz NOT NULL,
    revision          integer,
    provider_event_id text,
    content           jsonb,             -- null once erased
    digests           jsonb NOT NULL,
    body_digest       text,    -- digest of the body, if no two tries have the same body
    pseudonyms        jsonb NOT NULL DEFAULT '{}',
    persons           uuid[],  -- pseudonyms of all persons whose national ids the content holds, anywhere
    field_flags       jsonb NOT NULL,
    flags             text[] NOT NULL,
    retry_of          uuid[],  -- of a late retry that is one by its time: the earlier tries
    -- The event's place in the feed, which is that of its last change; null unless it is or was a revision.
    position          bigint,
    changed_at        timestamptz,
    change            feed_change,
    CHECK (num_nulls(position, changed_at, change) IN (0, 3)),
    CONSTRAINT revisions_are_in_the_feed CHECK (revision IS NULL OR position IS NOT NULL)
);
CREATE INDEX events_by_entity ON events (provider, event_type, entity_id);
CREATE INDEX events_by_time ON events (received_at);
CREATE INDEX events_by_person ON events USING gin (persons) WHERE persons IS NOT NULL;
CREATE INDEX events_late ON events (provider, event_type, entity_id) WHERE retry_of IS NOT NULL;
GRANT SELECT, INSERT ON events TO kvitto_worker;
GRANT UPDATE (received_at, revision, field_flags, flags, retry_of, position, changed_at, change) ON events
    TO kvitto_worker;

-- How ingest answered each delivery. A row may come before its receipt, and is missing if its ingest process crashed
-- or if Postgres was away for long.
CREATE TABLE answers (
    receipt      uuid PRIMARY KEY,
    milliseconds integer NOT NULL,  -- from the headers of the request to the end of the answer
    complete     boolean NOT NULL   -- false if the sender had hung up before
);
GRANT INSERT ON answers TO kvitto_ingest;
GRANT SELECT ON answers TO kvitto_worker;

-- What operators found about suspected late retries; access_log has who and why. The worker's role adds rows and cannot
-- change them.
CREATE TABLE late_retry_findings (
    receipt   uuid PRIMARY KEY,
    is_change boolean NOT NULL  -- true: the entity changed back, so that the receipt is a revision
);
GRANT SELECT, INSERT ON late_retry_findings TO kvitto_worker;
