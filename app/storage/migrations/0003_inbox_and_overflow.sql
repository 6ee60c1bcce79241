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
-- its count together with its data. A mark is never changed. It goes when the ledger has confirmed it.
CREATE TABLE inbox_high_water_marks (
    provider    text COLLATE "C" NOT NULL,
    epoch       uuid NOT NULL,
    appended    bigint NOT NULL,
    received_at timestamptz NOT NULL,
    seq         bigint NOT NULL,
    observed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (provider, received_at, seq, epoch, appended)
);
-- No role can lower what was seen.
GRANT INSERT (provider, epoch, appended, received_at, seq) ON inbox_high_water_marks TO kvitto_ingest, kvitto_worker;
GRANT SELECT ON inbox_high_water_marks TO kvitto_worker;

-- How many entries of an inbox the ledger holds after each of these places, by the place's number from 1. Places are
-- recent, so that few entries are after them. Each entry is counted once: before the next place.
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
               (SELECT count(*) FROM receipts AS entry
                WHERE entry.provider = of_provider AND entry.epoch = place.epoch
                  AND (entry.received_at, entry.seq) > (place.received_at, place.seq)
                  AND (entry.received_at, entry.seq) <= (place.next_time, place.next_seq)) AS receipts,
               (SELECT count(*) FROM duplicate_entries AS entry
                WHERE entry.provider = of_provider AND entry.epoch = place.epoch
                  AND (entry.received_at, entry.seq) > (place.received_at, place.seq)
                  AND (entry.received_at, entry.seq) <= (place.next_time, place.next_seq)) AS copies
        FROM place
    )
    SELECT number, (sum(receipts + copies) OVER w)::bigint
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
        SELECT epoch,
               (SELECT count(*) FROM receipts WHERE provider = of_provider AND receipts.epoch = mark.epoch)
               + (SELECT count(*) FROM duplicate_entries AS copy
                  WHERE provider = of_provider AND copy.epoch = mark.epoch) AS entries
        FROM mark GROUP BY epoch HAVING count(*) > 1
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
                    (SELECT max(received_at) FROM overflow WHERE provider = of_provider))
$$;
REVOKE EXECUTE ON FUNCTION entries_after, forget_confirmed_marks, newest_receipt FROM PUBLIC;
GRANT EXECUTE ON FUNCTION entries_after, forget_confirmed_marks TO kvitto_worker;
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
