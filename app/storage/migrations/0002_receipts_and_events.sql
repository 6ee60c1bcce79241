-- The ledger: one receipt for every delivery that was answered 200, its sealed body, and the event it holds.

SET LOCAL search_path = kvitto;

CREATE TYPE outcome AS ENUM ('stored', 'duplicate', 'dead', 'discarded');
CREATE TYPE feed_change AS ENUM ('new', 'corrected', 'erased');

-- The least receipt id of an instant: the first 48 bits of a UUIDv7 are its milliseconds.
CREATE FUNCTION first_receipt(instant timestamptz) RETURNS uuid
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT rpad(lpad(to_hex((extract(epoch FROM instant) * 1000)::bigint), 12, '0'), 32, '0')::uuid $$;

-- Narrow on purpose: counts, lists and the audit read this table. A partition is a month of receipt ids; dropping one is
-- how receipts age. No foreign key leads here: it would have to be checked whenever a month goes.
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
) PARTITION BY RANGE (receipt);
-- The order of an inbox. With the outcome in it, counting reads this index alone.
CREATE INDEX receipts_by_position ON receipts (provider, epoch, received_at, seq) INCLUDE (outcome);
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
GRANT SELECT, INSERT ON receipts TO kvitto_worker;
GRANT UPDATE (outcome, reason, event_type, entity_id, received_at, epoch, seq) ON receipts TO kvitto_worker;

-- Takes what no month takes, so that no delivery fails for want of a partition. Empty as long as receipt ids are of
-- months whose partition exists; `kvitto check` says if it is not.
CREATE TABLE receipts_other PARTITION OF receipts DEFAULT;

-- Months of receipts that left the ledger and whose counts are not kept yet: a month is a child of this table until its
-- counts are in archived_counts, so that the audit finds each receipt in exactly one place at any time.
CREATE TABLE retired_receipts (LIKE receipts);
GRANT SELECT ON retired_receipts TO kvitto_worker;

-- Why a receipt is, or was, a dead letter. A replay keeps the row, and so does an operator who discards the letter.
CREATE TABLE dead_letters (
    receipt      uuid PRIMARY KEY,
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
    receipt     uuid NOT NULL,
    PRIMARY KEY (provider, epoch, received_at, seq)
);
CREATE INDEX duplicate_entries_by_receipt ON duplicate_entries (receipt);
GRANT SELECT, INSERT ON duplicate_entries TO kvitto_worker;

-- Every entry of an inbox or of the overflow that the ledger holds, with its outcome or as a copy.
CREATE VIEW entries AS
SELECT receipt, provider, epoch, received_at, seq, outcome::text AS kind FROM receipts
UNION ALL
SELECT receipt, provider, epoch, received_at, seq, outcome::text FROM retired_receipts
UNION ALL
SELECT receipt, provider, epoch, received_at, seq, 'copy'::text FROM duplicate_entries;
GRANT SELECT ON entries TO kvitto_worker;

-- The sealed bodies: the only place with clear values, in a table of its own so that a body can be removed alone.
CREATE TABLE bodies (
    receipt    uuid PRIMARY KEY,
    headers    jsonb NOT NULL,
    ciphertext bytea NOT NULL
) PARTITION BY RANGE (receipt);
ALTER TABLE bodies ALTER COLUMN ciphertext SET STORAGE EXTERNAL;  -- ciphertext does not compress
CREATE TABLE bodies_other PARTITION OF bodies DEFAULT;
GRANT SELECT, INSERT ON bodies TO kvitto_worker;

-- The content of every valid receipt; `revision` is null for a duplicate. Duplicates keep their content too: an older
-- receipt that arrives late may turn one of them into a revision. Entities age as a whole, so this table has no months.
CREATE TABLE events (
    receipt           uuid PRIMARY KEY,
    provider          text COLLATE "C" NOT NULL,
    event_type        text COLLATE "C" NOT NULL,
    entity_id         text COLLATE "C",  -- null once erased
    received_at       timestamptz NOT NULL,
    revision          integer,
    reason            text,    -- why it is a duplicate, or what made it a revision
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
-- An id rarely means several things: provider and event type would only make the index larger.
CREATE INDEX events_by_entity ON events (entity_id);
CREATE INDEX events_by_time ON events (received_at);
CREATE INDEX events_by_person ON events USING gin (persons) WHERE persons IS NOT NULL;
CREATE INDEX events_late ON events (provider, event_type, entity_id) WHERE retry_of IS NOT NULL;
GRANT SELECT, INSERT ON events TO kvitto_worker;
GRANT UPDATE (received_at, revision, reason, field_flags, flags, retry_of, position, changed_at, change) ON events
    TO kvitto_worker;

-- How ingest answered each delivery. A row may come before its receipt, and is missing if its ingest process crashed
-- or if Postgres was away for long.
CREATE TABLE answers (
    receipt      uuid PRIMARY KEY,
    milliseconds integer NOT NULL,  -- from the headers of the request to the end of the answer
    complete     boolean NOT NULL   -- false if the sender had hung up before
) PARTITION BY RANGE (receipt);
CREATE TABLE answers_other PARTITION OF answers DEFAULT;
GRANT INSERT ON answers TO kvitto_ingest;
GRANT SELECT ON answers TO kvitto_worker;

-- What operators found about suspected late retries; access_log has who and why. The worker's role adds rows and cannot
-- change them.
CREATE TABLE late_retry_findings (
    receipt   uuid PRIMARY KEY,
    is_change boolean NOT NULL  -- true: the entity changed back, so that the receipt is a revision
);
GRANT SELECT, INSERT ON late_retry_findings TO kvitto_worker;

-- Makes the partitions of a month that are missing; returns their names. A month is attached, since CREATE TABLE …
-- PARTITION OF would wait for every statement on the table. Rows that the default partition took before are moved.
CREATE FUNCTION create_month(month date) RETURNS SETOF text
LANGUAGE plpgsql SET search_path = kvitto, pg_temp
AS $$
DECLARE
    least uuid := first_receipt(month::timestamp AT TIME ZONE 'UTC');
    bound uuid := first_receipt((month + interval '1 month') AT TIME ZONE 'UTC');
    parent text;
    fresh text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('kvitto/partitions', 0));
    FOREACH parent IN ARRAY ARRAY['receipts', 'bodies', 'answers'] LOOP
        fresh := parent || to_char(month, '_YYYY_MM');
        CONTINUE WHEN to_regclass(fresh) IS NOT NULL;
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', fresh, parent);
        -- Index-only scans need a recent vacuum: run one by the number of new rows, not by their share.
        EXECUTE format('ALTER TABLE %I SET (autovacuum_vacuum_insert_threshold = 50000,'
                       ' autovacuum_vacuum_insert_scale_factor = 0)', fresh);
        EXECUTE format('WITH moved AS (DELETE FROM %I WHERE receipt >= $1 AND receipt < $2 RETURNING *)'
                       ' INSERT INTO %I SELECT * FROM moved', parent || '_other', fresh) USING least, bound;
        EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, fresh, least, bound);
        RETURN NEXT fresh;
    END LOOP;
END
$$;

-- Makes the partitions that are missing of this month and so many later ones; returns their names. Processes' roles may
-- not create tables, and need no right on a partition: they reach it through its table.
CREATE FUNCTION create_partitions(months integer) RETURNS SETOF text
LANGUAGE sql SECURITY DEFINER SET search_path = kvitto, pg_temp
AS $$
    SELECT create_month((date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => number))::date)
    FROM generate_series(0, months) AS number
$$;

-- Whether a default partition holds rows, and the last month that has a partition.
CREATE FUNCTION partition_state(OUT has_strays boolean, OUT last_month date)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = kvitto, pg_temp
AS $$
    SELECT EXISTS (SELECT FROM receipts_other) OR EXISTS (SELECT FROM bodies_other) OR EXISTS (SELECT FROM answers_other),
           (SELECT to_date(max(right(relname, 7)), 'YYYY_MM') FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
            WHERE inhparent = 'receipts'::regclass AND relname ~ '_[0-9]{4}_[0-9]{2}$')
$$;
REVOKE EXECUTE ON FUNCTION first_receipt, create_month, create_partitions, partition_state FROM PUBLIC;
GRANT EXECUTE ON FUNCTION first_receipt, create_partitions, partition_state TO kvitto_worker;
