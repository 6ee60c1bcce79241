-- Deliveries on their way to the ledger, and what the conservation audit knows of them.

SET LOCAL search_path = kvitto;

-- How far each provider's inbox was processed at the last sweep, and by how many seconds the clock of Redis was ahead of
-- this server's then, or times of receipt were; negative if Redis was behind.
CREATE TABLE ingest_progress (
    provider           text COLLATE "C" PRIMARY KEY,
    complete_until     timestamptz NOT NULL,
    pending            bigint NOT NULL,
    observed_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    clock_skew_seconds double precision NOT NULL DEFAULT 0
);
GRANT SELECT, INSERT, UPDATE ON ingest_progress TO kvitto_worker;

-- Deliveries that Redis could not take, or that are too large for it. Rows stay as the record of what came this way;
-- the sealed body goes when the ledger has it.
CREATE TABLE overflow (
    receipt        uuid PRIMARY KEY,
    provider       text COLLATE "C" NOT NULL,
    topic          text NOT NULL,
    headers        jsonb NOT NULL,
    ciphertext     bytea,
    traceparent    text NOT NULL DEFAULT '',
    received_at    timestamptz NOT NULL,
    seq            bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    delivery_count integer NOT NULL DEFAULT 0,
    claimed_by     text,
    claimed_at     timestamptz
);
ALTER TABLE overflow ALTER COLUMN ciphertext SET STORAGE EXTERNAL;  -- ciphertext does not compress
CREATE INDEX overflow_by_time ON overflow (provider, received_at);
CREATE INDEX overflow_waiting ON overflow (provider, received_at, seq) WHERE ciphertext IS NOT NULL;
GRANT INSERT, SELECT (received_at) ON overflow TO kvitto_ingest;
GRANT SELECT, UPDATE (ciphertext, delivery_count, claimed_by, claimed_at) ON overflow TO kvitto_worker;

-- What ingest and sweeps saw: so many entries of an epoch were appended up to this one. Kept here because Redis loses
-- its count together with its data. What a mark says is never changed. It goes when the ledger has confirmed it.
CREATE TABLE inbox_high_water_marks (
    provider    text COLLATE "C" NOT NULL,
    epoch       uuid NOT NULL,
    appended    bigint NOT NULL,
    received_at timestamptz NOT NULL,
    seq         bigint NOT NULL,
    observed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Entries of its epoch behind it that retention removed: they cannot be counted any more.
    archived_after bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (provider, received_at, seq, epoch, appended)
);
-- No role can lower what was seen.
GRANT INSERT (provider, epoch, appended, received_at, seq) ON inbox_high_water_marks TO kvitto_ingest, kvitto_worker;
GRANT SELECT ON inbox_high_water_marks TO kvitto_worker;

-- What left the ledger by retention, so that the audit still adds up. `kind` is an outcome, `copy` (further entry of a
-- receipt), `overflow` (row of the overflow) or `unmatched` (row of the overflow that was no entry of the ledger).
CREATE TABLE archived_counts (
    provider text COLLATE "C" NOT NULL,
    epoch    uuid NOT NULL,
    kind     text COLLATE "C" NOT NULL,
    entries  bigint NOT NULL,
    PRIMARY KEY (provider, epoch, kind)
);
GRANT SELECT ON archived_counts TO kvitto_worker;

-- The ledger's past in periods of some 20,000 entries, each counted once: [{epoch, kind, entries}, …], kinds as above.
-- A period ends before `until` and begins at the end of the one before it. Counts are null where entries have to be
-- counted: triggers make them so, and add to `changes`, in the transaction that writes into the period. Each period is
-- counted again after a day, for what no trigger sees: rows that were deleted from a partition by hand.
CREATE TABLE counted_periods (
    provider   text COLLATE "C" NOT NULL,
    until      timestamptz NOT NULL,
    counts     jsonb,
    counted_at timestamptz NOT NULL DEFAULT '-infinity',
    changes    bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (provider, until)
);
GRANT SELECT, INSERT, DELETE, UPDATE (counts, counted_at) ON counted_periods TO kvitto_worker;

-- Makes the counts void of the periods that hold entries of these providers with these times of receipt.
CREATE FUNCTION void_counts(providers text[], times timestamptz[]) RETURNS void
LANGUAGE sql SET search_path = kvitto, pg_temp
AS $$
    UPDATE counted_periods AS kept SET counts = NULL, changes = kept.changes + 1
    FROM (
        SELECT DISTINCT entry.provider, (SELECT min(until) FROM counted_periods AS period
                                         WHERE period.provider = entry.provider AND until > entry.received_at) AS until
        FROM unnest(providers, times) AS entry (provider, received_at)
        WHERE entry.received_at < (SELECT max(until) FROM counted_periods AS period
                                   WHERE period.provider = entry.provider)
    ) AS hit
    WHERE kept.provider = hit.provider AND kept.until = hit.until
$$;

CREATE FUNCTION void_periods() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = kvitto, pg_temp
AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        UPDATE counted_periods SET counts = NULL, changes = changes + 1;
    END IF;
    IF TG_OP IN ('INSERT', 'UPDATE') THEN
        PERFORM void_counts(array_agg(provider), array_agg(received_at)) FROM added;
    END IF;
    IF TG_OP IN ('UPDATE', 'DELETE') THEN
        PERFORM void_counts(array_agg(provider), array_agg(received_at)) FROM removed;
    END IF;
    RETURN NULL;
END
$$;
REVOKE EXECUTE ON FUNCTION void_counts, void_periods FROM PUBLIC;
CREATE TRIGGER void_by_insert AFTER INSERT ON receipts REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION void_periods();
CREATE TRIGGER void_by_update AFTER UPDATE ON receipts REFERENCING OLD TABLE AS removed NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION void_periods();
CREATE TRIGGER void_by_delete AFTER DELETE ON receipts REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION void_periods();
CREATE TRIGGER void_by_truncate AFTER TRUNCATE ON receipts FOR EACH STATEMENT EXECUTE FUNCTION void_periods();
CREATE TRIGGER void_by_insert AFTER INSERT ON duplicate_entries REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION void_periods();
CREATE TRIGGER void_by_delete AFTER DELETE ON duplicate_entries REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION void_periods();
CREATE TRIGGER void_by_delete AFTER DELETE ON overflow REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION void_periods();

CREATE VIEW periods AS
SELECT provider, lag(until, 1, '-infinity') OVER (PARTITION BY provider ORDER BY until) AS since, until, counts,
       counted_at, changes
FROM counted_periods;
GRANT SELECT ON periods TO kvitto_worker;

-- Counts the rows of a provider with a time of receipt in [since, before), by epoch and kind.
CREATE FUNCTION count_entries(of_provider text, since timestamptz, before timestamptz)
RETURNS TABLE (epoch uuid, kind text, entries bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = kvitto, pg_temp
AS $$
    WITH RECURSIVE known AS (  -- the provider's epochs, by one look at the index for each
        (SELECT first.epoch FROM entries AS first WHERE first.provider = of_provider ORDER BY first.epoch LIMIT 1)
        UNION ALL
        SELECT (SELECT next.epoch FROM entries AS next
                WHERE next.provider = of_provider AND next.epoch > known.epoch ORDER BY next.epoch LIMIT 1)
        FROM known WHERE known.epoch IS NOT NULL
    ), counted AS MATERIALIZED (
        SELECT known.epoch, of_kind.kind, of_kind.entries
        FROM known CROSS JOIN LATERAL (
            SELECT entry.kind, count(*) AS entries FROM entries AS entry
            WHERE entry.provider = of_provider AND entry.epoch = known.epoch
              AND entry.received_at >= since AND entry.received_at < before
            GROUP BY entry.kind
        ) AS of_kind
    ), overflowed AS MATERIALIZED (
        SELECT '00000000-0000-0000-0000-000000000000'::uuid AS epoch, count(*) AS entries FROM overflow
        WHERE overflow.provider = of_provider AND received_at >= since AND received_at < before
    )
    SELECT * FROM counted
    UNION ALL
    SELECT overflowed.epoch, 'overflow', overflowed.entries FROM overflowed WHERE overflowed.entries > 0
    UNION ALL
    -- By the period, so that rows of the overflow that somebody deleted in one do not hide a loss in another.
    SELECT overflowed.epoch, 'unmatched', overflowed.entries - of_overflow.entries
    FROM overflowed,
         (SELECT coalesce(sum(counted.entries), 0)::bigint AS entries FROM counted JOIN overflowed USING (epoch)) AS of_overflow
    WHERE overflowed.entries > of_overflow.entries
$$;

-- All entries of a provider that the ledger holds or held, and the rows of its overflow, by epoch and kind: what was
-- archived, the periods that are counted, and rows for the others and for what came since the last.
CREATE FUNCTION entry_counts(of_provider text) RETURNS TABLE (epoch uuid, kind text, entries bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = kvitto, pg_temp
AS $$
    SELECT part.epoch, part.kind, sum(part.entries)::bigint
    FROM (
        SELECT archived.epoch, archived.kind, archived.entries FROM archived_counts AS archived
        WHERE archived.provider = of_provider
        UNION ALL
        SELECT counted.* FROM counted_periods
        CROSS JOIN LATERAL jsonb_to_recordset(counts) AS counted (epoch uuid, kind text, entries bigint)
        WHERE provider = of_provider AND counts IS NOT NULL
        UNION ALL
        SELECT counted.* FROM (
            SELECT since, until FROM periods WHERE provider = of_provider AND counts IS NULL
            UNION ALL
            SELECT coalesce(max(until), '-infinity'), 'infinity' FROM counted_periods WHERE provider = of_provider
        ) AS uncounted (since, until)
        CROSS JOIN LATERAL count_entries(of_provider, since, until) AS counted
    ) AS part
    GROUP BY part.epoch, part.kind
$$;

-- How many deliveries of each provider had which outcome, those that retention removed included. The lock comes before
-- the query's snapshot, which therefore has the counts of every month that the lock waited for.
CREATE FUNCTION outcome_counts() RETURNS TABLE (provider text, outcome text, deliveries bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = kvitto, pg_temp
AS $$
BEGIN
    LOCK TABLE ONLY receipts, ONLY retired_receipts IN ACCESS SHARE MODE;
    RETURN QUERY
        WITH RECURSIVE known AS (
            (SELECT first.provider FROM entries AS first ORDER BY first.provider LIMIT 1)
            UNION ALL
            SELECT (SELECT next.provider FROM entries AS next
                    WHERE next.provider > known.provider ORDER BY next.provider LIMIT 1)
            FROM known WHERE known.provider IS NOT NULL
        )
        SELECT named.provider, counted.kind, sum(counted.entries)::bigint
        FROM (SELECT known.provider FROM known WHERE known.provider IS NOT NULL
              UNION SELECT archived.provider FROM archived_counts AS archived) AS named
        CROSS JOIN LATERAL entry_counts(named.provider) AS counted
        WHERE counted.kind NOT IN ('copy', 'overflow', 'unmatched')
        GROUP BY named.provider, counted.kind;
END
$$;

-- How many entries of an inbox the ledger holds or held after each of these places, by the place's number from 1. Places
-- are recent, so that few entries are after them. Each entry is counted once: before the next place. What retention
-- removed is known of places that have a mark.
CREATE FUNCTION entries_after(of_provider text, epochs uuid[], times timestamptz[], seqs bigint[])
RETURNS TABLE (number bigint, entries bigint)
LANGUAGE sql STABLE SET search_path = kvitto, pg_temp
AS $$
    WITH place AS (
        SELECT *, lead(received_at, 1, 'infinity') OVER w AS next_time, lead(seq, 1, 0::bigint) OVER w AS next_seq
        FROM unnest(epochs, times, seqs) WITH ORDINALITY AS place (epoch, received_at, seq, number)
        WINDOW w AS (PARTITION BY epoch ORDER BY received_at, seq, number)
    ), counted AS (
        SELECT place.*,
               (SELECT count(*) FROM entries AS entry
                WHERE entry.provider = of_provider AND entry.epoch = place.epoch
                  -- With the epoch in it, so that no index by time alone is used: the last place may be years ago.
                  AND (entry.epoch, entry.received_at, entry.seq) > (place.epoch, place.received_at, place.seq)
                  AND (entry.epoch, entry.received_at, entry.seq) <= (place.epoch, place.next_time, place.next_seq)) AS own
        FROM place
    )
    SELECT number, (sum(own) OVER w)::bigint + coalesce((
        SELECT max(archived_after) FROM inbox_high_water_marks AS mark
        WHERE (mark.provider, mark.received_at, mark.seq, mark.epoch)
            = (of_provider, counted.received_at, counted.seq, counted.epoch)
    ), 0)
    FROM counted
    WINDOW w AS (PARTITION BY epoch ORDER BY received_at DESC, seq DESC, number DESC)
$$;

-- Deletes the marks of which the ledger holds every entry, except the newest of each epoch.
CREATE FUNCTION forget_confirmed_marks(of_provider text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = kvitto, pg_temp
AS $$
    WITH mark AS (
        SELECT *, row_number() OVER w AS number,
               lead(appended) OVER (PARTITION BY epoch ORDER BY received_at, seq, appended) IS NULL AS is_newest
        FROM inbox_high_water_marks WHERE provider = of_provider
        WINDOW w AS (ORDER BY epoch, received_at, seq, appended)
    ), place AS (
        SELECT array_agg(epoch ORDER BY number) AS epochs, array_agg(received_at ORDER BY number) AS times,
               array_agg(seq ORDER BY number) AS seqs
        FROM mark
    ), total AS (
        SELECT epoch, sum(entries) AS entries FROM entry_counts(of_provider) GROUP BY epoch
    )
    DELETE FROM inbox_high_water_marks AS confirmed
    USING mark
          JOIN total USING (epoch)
          JOIN (SELECT later.* FROM place, entries_after(of_provider, epochs, times, seqs) AS later) AS later USING (number)
    WHERE total.entries - later.entries >= mark.appended AND NOT mark.is_newest
      AND (confirmed.provider, confirmed.received_at, confirmed.seq, confirmed.epoch, confirmed.appended)
        = (mark.provider, mark.received_at, mark.seq, mark.epoch, mark.appended)
$$;

-- The newest time of receipt of a provider that is known here, of either store: later deliveries get no earlier time.
CREATE FUNCTION newest_receipt(of_provider text) RETURNS timestamptz
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = kvitto, pg_temp
AS $$
    SELECT greatest((SELECT max(received_at) FROM inbox_high_water_marks WHERE provider = of_provider),
                    (SELECT max(received_at) FROM overflow WHERE provider = of_provider),
                    (SELECT max(until) FROM counted_periods WHERE provider = of_provider))
$$;
REVOKE EXECUTE ON FUNCTION count_entries, entry_counts, outcome_counts, entries_after, forget_confirmed_marks,
    newest_receipt FROM PUBLIC;
GRANT EXECUTE ON FUNCTION count_entries, entry_counts, entries_after, forget_confirmed_marks TO kvitto_worker;
GRANT EXECUTE ON FUNCTION outcome_counts TO kvitto_worker, kvitto_console, kvitto_dashboard, kvitto_analyst;
GRANT EXECUTE ON FUNCTION newest_receipt TO kvitto_ingest;

-- Work that goes round a failed server: ingest without Redis, workers without wake-ups. A row whose `last_at` is older
-- than a minute is over.
CREATE TABLE fallbacks (
    process  text COLLATE "C" NOT NULL,
    provider text COLLATE "C" NOT NULL,
    reason   text NOT NULL,
    since    timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (process, provider)
);
GRANT SELECT, INSERT, UPDATE ON fallbacks TO kvitto_ingest, kvitto_worker;

-- Each provider's last audit; alerted_at: when the log last reported missing entries.
CREATE TABLE audits (
    provider      text COLLATE "C" PRIMARY KEY,
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

-- Losses that an operator accepted; access_log has who and why. The worker's role adds rows and cannot change them.
CREATE TABLE accepted_losses (
    provider text NOT NULL,
    epoch    uuid NOT NULL,
    entries  bigint NOT NULL CHECK (entries > 0)
);
GRANT SELECT, INSERT ON accepted_losses TO kvitto_worker;

-- The newest canary that arrived, per provider: a delivery of our own that takes the whole path.
CREATE TABLE canaries (
    provider  text COLLATE "C" PRIMARY KEY,
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
