-- Retention: what is older than its limit leaves the ledger, and its counts stay. A month of receipt ids is dropped as a
-- whole where every provider's limit has passed. Where another provider keeps the month, rows go in batches.
-- Workers call these functions, since they can delete nothing themselves. None removes what is younger than four weeks.

SET LOCAL search_path = kvitto;

-- The table of each event type that dashboards read, as workers write it.
CREATE TABLE projections (
    provider   text COLLATE "C" NOT NULL,
    event_type text COLLATE "C" NOT NULL,
    name       text NOT NULL,
    PRIMARY KEY (provider, event_type)
);
GRANT SELECT, INSERT ON projections TO kvitto_worker;

-- Up to which instant rows of a provider were removed, so that the next run need not look for them. Kinds: `receipts`,
-- `bodies`, `contents`.
CREATE TABLE retention_progress (
    provider   text COLLATE "C" NOT NULL,
    kind       text COLLATE "C" NOT NULL,
    done_until timestamptz NOT NULL,
    PRIMARY KEY (provider, kind)
);
GRANT SELECT, INSERT, UPDATE ON retention_progress TO kvitto_worker;

CREATE FUNCTION require_old(before timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = kvitto, pg_temp
AS $$
BEGIN
    IF before > clock_timestamp() - interval '27 days' THEN
        RAISE EXCEPTION 'retention removes nothing that is younger than four weeks' USING ERRCODE = 'invalid_parameter_value';
    END IF;
END
$$;

-- Takes a month out of the ledger: drops its bodies, and with `also_receipts` its answers, and moves its receipts to
-- retired_receipts. Returns false, and changes nothing, if the month has receipts of another provider than these, or if
-- another run took it. Batches wait behind its first lock for the caller's lock_timeout at most, and then for changes of
-- the catalog: nothing else is waited for.
CREATE FUNCTION retire_month(month date, providers text[], also_receipts boolean) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = kvitto, pg_temp
AS $$
DECLARE
    suffix text := to_char(month, '_YYYY_MM');
    receipts_of_month regclass;
    found text;
BEGIN
    PERFORM require_old((month + interval '1 month')::timestamp AT TIME ZONE 'UTC');
    LOCK TABLE ONLY receipts IN ACCESS EXCLUSIVE MODE;
    EXECUTE (
        SELECT format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE NOWAIT', string_agg(format('ONLY %I', name), ', '))
        FROM unnest(ARRAY['bodies', 'answers', 'receipts_other', 'bodies_other', 'answers_other', 'retired_receipts',
                          'receipts' || suffix, 'bodies' || suffix, 'answers' || suffix]) AS name
        WHERE to_regclass(name) IS NOT NULL
    );
    receipts_of_month := to_regclass('receipts' || suffix);
    IF receipts_of_month IS NOT NULL THEN
        IF NOT EXISTS (SELECT FROM pg_inherits WHERE (inhrelid, inhparent) = (receipts_of_month, 'receipts'::regclass)) THEN
            RETURN false;
        END IF;
        LOOP
            EXECUTE format('SELECT provider FROM %s WHERE $1 IS NULL OR provider > $1 ORDER BY provider LIMIT 1',
                           receipts_of_month) INTO found USING found;
            EXIT WHEN found IS NULL;
            IF found <> ALL (providers) THEN
                RETURN false;
            END IF;
        END LOOP;
    END IF;
    EXECUTE format('DROP TABLE IF EXISTS %I', 'bodies' || suffix);
    IF also_receipts THEN
        EXECUTE format('DROP TABLE IF EXISTS %I', 'answers' || suffix);
    END IF;
    IF also_receipts AND receipts_of_month IS NOT NULL THEN
        EXECUTE format('ALTER TABLE receipts DETACH PARTITION %s', receipts_of_month);
        EXECUTE format('ALTER TABLE %s INHERIT retired_receipts', receipts_of_month);
    END IF;
    RETURN true;
END
$$;

-- Moves receipts of one provider to retired_receipts, `most` at a time, and deletes their bodies and answers. Returns
-- their number.
CREATE FUNCTION retire_receipts(of_provider text, before timestamptz, most integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = kvitto, pg_temp
AS $$
DECLARE
    gone uuid[];
BEGIN
    PERFORM require_old(before);
    gone := ARRAY(SELECT receipt FROM receipts WHERE provider = of_provider AND receipt < first_receipt(before)
                  ORDER BY receipt LIMIT most);
    DELETE FROM bodies WHERE receipt = ANY (gone);
    DELETE FROM answers WHERE receipt = ANY (gone);
    WITH moved AS (DELETE FROM receipts WHERE receipt = ANY (gone) RETURNING *)
    INSERT INTO retired_receipts SELECT * FROM moved;
    RETURN cardinality(gone);
END
$$;

-- Keeps the counts of all retired receipts and of what belongs to them, and deletes it, in one transaction; returns
-- their number. The lock comes first: an audit sees all of it or nothing.
CREATE FUNCTION archive_retired() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = kvitto, pg_temp
AS $$
DECLARE
    first uuid;
    last uuid;
    archived bigint;
    month regclass;
BEGIN
    LOCK TABLE ONLY retired_receipts IN ACCESS EXCLUSIVE MODE;
    -- Without an aggregate of uuid, which older servers lack. The bounds keep other tables' indexes in use.
    SELECT receipt INTO first FROM retired_receipts ORDER BY receipt LIMIT 1;
    SELECT receipt INTO last FROM retired_receipts ORDER BY receipt DESC LIMIT 1;
    SELECT count(*) INTO archived FROM retired_receipts;

    CREATE TEMPORARY TABLE gone_copies ON COMMIT DROP AS
    SELECT copy.* FROM duplicate_entries AS copy JOIN retired_receipts AS retired USING (receipt);
    CREATE TEMPORARY TABLE gone_overflow ON COMMIT DROP AS
    SELECT overflow.receipt, overflow.provider FROM overflow JOIN retired_receipts AS retired USING (receipt)
    WHERE overflow.receipt BETWEEN first AND last AND ciphertext IS NULL;

    INSERT INTO archived_counts AS kept
    SELECT provider, epoch, outcome::text, count(*) FROM retired_receipts GROUP BY 1, 2, 3
    UNION ALL
    SELECT provider, epoch, 'copy', count(*) FROM gone_copies GROUP BY 1, 2
    UNION ALL
    SELECT provider, '00000000-0000-0000-0000-000000000000', 'overflow', count(*) FROM gone_overflow GROUP BY 1
    ON CONFLICT (provider, epoch, kind) DO UPDATE SET entries = kept.entries + excluded.entries;

    DELETE FROM duplicate_entries AS copy USING gone_copies AS gone
    WHERE (copy.provider, copy.epoch, copy.received_at, copy.seq)
        = (gone.provider, gone.epoch, gone.received_at, gone.seq);
    DELETE FROM overflow USING gone_overflow AS gone WHERE overflow.receipt = gone.receipt;
    DELETE FROM dead_letters USING retired_receipts AS retired WHERE dead_letters.receipt = retired.receipt;
    DELETE FROM isolated_attempts USING retired_receipts AS retired WHERE isolated_attempts.receipt = retired.receipt;

    WITH gone AS NOT MATERIALIZED (
        SELECT provider, epoch, received_at, seq FROM retired_receipts
        UNION ALL
        SELECT provider, epoch, received_at, seq FROM gone_copies
    )
    UPDATE inbox_high_water_marks AS mark SET archived_after = mark.archived_after + later.entries
    FROM (
        SELECT mark.*, (SELECT count(*) FROM gone WHERE (gone.provider, gone.epoch) = (mark.provider, mark.epoch)
                        AND (gone.epoch, gone.received_at, gone.seq) > (mark.epoch, mark.received_at, mark.seq)) AS entries
        FROM inbox_high_water_marks AS mark
    ) AS later
    WHERE (mark.provider, mark.received_at, mark.seq, mark.epoch, mark.appended)
        = (later.provider, later.received_at, later.seq, later.epoch, later.appended) AND later.entries > 0;

    -- Late, because batches that write into these periods wait for it.
    UPDATE counted_periods AS kept SET counts = NULL, changes = kept.changes + 1 FROM periods AS period
    WHERE kept.provider = period.provider AND kept.until = period.until
      AND EXISTS (SELECT FROM retired_receipts AS gone WHERE gone.provider = period.provider
                  AND gone.received_at >= period.since AND gone.received_at < period.until);
    FOR month IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'retired_receipts'::regclass LOOP
        EXECUTE format('DROP TABLE %s', month);
    END LOOP;
    TRUNCATE ONLY retired_receipts;
    RETURN archived;
END
$$;

-- Deletes bodies of one provider, looking at `most` receipts at a time behind a receipt. Returns where it stopped, null
-- at the end, and the number of bodies deleted.
CREATE FUNCTION remove_bodies(
    of_provider text, before timestamptz, behind uuid, most integer, OUT last_receipt uuid, OUT removed bigint
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = kvitto, pg_temp
AS $$
DECLARE
    old uuid[];
BEGIN
    PERFORM require_old(before);
    old := ARRAY(SELECT receipt FROM receipts
                 WHERE provider = of_provider AND receipt > behind AND receipt < first_receipt(before)
                 ORDER BY receipt LIMIT most);
    DELETE FROM bodies WHERE receipt = ANY (old);
    GET DIAGNOSTICS removed = ROW_COUNT;
    last_receipt := old[cardinality(old)];
END
$$;

-- Deletes the entities of one provider whose newest revision is older than `before`: their events, the bodies of these,
-- which no erasure would find without them, what was found about their late retries, and their rows in the projections.
-- It looks at `most` events at a time, behind (after, behind), and returns where it stopped, null at the end, and the
-- number of events deleted. The caller holds the provider's lock.
CREATE FUNCTION remove_entities(
    of_provider text, before timestamptz, after timestamptz, behind uuid, most integer,
    OUT last_at timestamptz, OUT last_receipt uuid, OUT removed bigint
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = kvitto, pg_temp
AS $$
DECLARE
    gone uuid[];
    projection record;
BEGIN
    PERFORM require_old(before);
    CREATE TEMPORARY TABLE looked_at ON COMMIT DROP AS
    SELECT event_type, entity_id, received_at, receipt FROM events
    WHERE provider = of_provider AND received_at >= after AND received_at < before
      AND (received_at, receipt) > (after, behind)
    ORDER BY received_at, receipt LIMIT most;
    SELECT received_at, receipt INTO last_at, last_receipt FROM looked_at ORDER BY 1 DESC, 2 DESC LIMIT 1;

    CREATE TEMPORARY TABLE old_entities ON COMMIT DROP AS
    SELECT DISTINCT event_type, entity_id FROM looked_at AS old
    WHERE NOT EXISTS (
        SELECT FROM events AS later
        WHERE later.provider = of_provider AND later.event_type = old.event_type AND later.entity_id = old.entity_id
          AND later.revision IS NOT NULL AND later.received_at >= before
    );
    gone := ARRAY(
        SELECT receipt FROM events JOIN old_entities USING (event_type, entity_id) WHERE provider = of_provider
        UNION ALL
        SELECT receipt FROM looked_at WHERE entity_id IS NULL  -- erased before
    );
    UPDATE feed_positions SET removed_until = greatest(
        removed_until, (SELECT max(position) FROM events WHERE receipt = ANY (gone))
    ) WHERE provider = of_provider;
    DELETE FROM late_retry_findings WHERE receipt = ANY (gone);
    DELETE FROM bodies WHERE receipt = ANY (gone);
    DELETE FROM events WHERE receipt = ANY (gone);
    GET DIAGNOSTICS removed = ROW_COUNT;
    FOR projection IN SELECT event_type, name FROM projections WHERE provider = of_provider LOOP
        EXECUTE format('DELETE FROM %I USING old_entities AS old'
                       ' WHERE %1$I.entity_id = old.entity_id AND old.event_type = $1', projection.name)
            USING projection.event_type;
    END LOOP;
    DROP TABLE looked_at, old_entities;
END
$$;

REVOKE EXECUTE ON FUNCTION require_old, retire_month, retire_receipts, archive_retired, remove_bodies, remove_entities
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION retire_month, retire_receipts, archive_retired, remove_bodies, remove_entities
    TO kvitto_worker;
