-- The feed: every revision at the position of its last change, and how far each consumer has confirmed it.

SET LOCAL search_path = kvitto;

-- The newest position of each provider. A batch takes its positions by updating the row, whose lock lasts until the
-- commit: positions become visible in their order. A sequence gives no such order, since a later number may be
-- committed first.
CREATE TABLE feed_positions (
    provider      text COLLATE "C" PRIMARY KEY,
    position      bigint NOT NULL,
    removed_until bigint NOT NULL DEFAULT 0  -- the newest of the positions that retention removed
);
GRANT SELECT, INSERT, UPDATE ON feed_positions TO kvitto_worker;

-- Nothing was released without this index: the table is empty.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX events_by_position ON events (provider, position) WHERE position IS NOT NULL;

-- How far each consumer has confirmed the feed of each provider that it reads.
CREATE TABLE feed_cursors (
    -- Consumers are labels of metrics.
    consumer     text COLLATE "C" NOT NULL CONSTRAINT consumer_is_a_slug CHECK (consumer ~ '^[a-z0-9][a-z0-9_.-]{0,62}$'),
    provider     text COLLATE "C" NOT NULL,
    position     bigint NOT NULL DEFAULT 0,
    read_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    confirmed_at timestamptz,
    PRIMARY KEY (consumer, provider)
);

CREATE VIEW reporting.feed AS
SELECT position, provider, change::text COLLATE "C" AS change, event_type,
       CASE WHEN change <> 'erased' THEN entity_id END AS entity_id,
       CASE WHEN change <> 'erased' THEN revision END AS revision,
       receipt,
       CASE WHEN change <> 'erased' THEN content END AS content,
       CASE WHEN change <> 'erased' THEN flags END AS flags,
       changed_at
FROM events
WHERE position IS NOT NULL;
COMMENT ON VIEW reporting.feed IS
    'Every event that is or was a revision, once, at the position of its last change. A consumer that reads the '
    'rows of a provider in order of position sees every change: no row appears below a position that was read.';
COMMENT ON COLUMN reporting.feed.position IS
    'Number of the last change, per provider. It only grows; numbers of earlier changes are gaps.';
COMMENT ON COLUMN reporting.feed.provider IS 'Who sent it.';
COMMENT ON COLUMN reporting.feed.change IS
    'new: the event had no earlier position. corrected: its revision, flags or number changed, or it is no revision any '
    'more. erased: all that it said was erased. A consumer that was away may see '
    'corrected or erased first.';
COMMENT ON COLUMN reporting.feed.event_type IS 'Type of the event.';
COMMENT ON COLUMN reporting.feed.entity_id IS 'Id of what the event is about. Null once erased.';
COMMENT ON COLUMN reporting.feed.revision IS
    'Number of the revision within its entity, from 1, in order of receipt; null if the delivery turned out to repeat '
    'an older one, so that the event counts no longer, or once erased.';
COMMENT ON COLUMN reporting.feed.receipt IS 'Receipt id of the delivery. It identifies the event.';
COMMENT ON COLUMN reporting.feed.content IS
    'Content as it was sent; national ids masked, files reduced to name, type, size and SHA-256. Null once erased.';
COMMENT ON COLUMN reporting.feed.flags IS
    'Quality flags, as slugs: what is doubtful about the content. Null once erased.';
COMMENT ON COLUMN reporting.feed.changed_at IS
    'Instant of the change, by the clock of this server; not when the delivery was received.';
GRANT SELECT (position, provider, change, event_type, entity_id, revision, receipt, flags, changed_at) ON reporting.feed
    TO kvitto_analyst;

CREATE VIEW reporting.feed_consumers AS
SELECT consumer, cursor.provider, cursor.position, coalesce(newest.position, 0) AS newest_position,
       (SELECT changed_at FROM events
        WHERE events.provider = cursor.provider AND events.position > cursor.position
        ORDER BY events.position LIMIT 1) AS waiting_since,
       read_at, confirmed_at,
       cursor.position > 0 AND cursor.position < coalesce(newest.removed_until, 0) AS has_missed
FROM feed_cursors AS cursor LEFT JOIN feed_positions AS newest ON newest.provider = cursor.provider;
COMMENT ON VIEW reporting.feed_consumers IS 'How far each consumer of the feed is, per provider that it reads.';
COMMENT ON COLUMN reporting.feed_consumers.consumer IS 'Name that the consumer gave itself.';
COMMENT ON COLUMN reporting.feed_consumers.provider IS 'Whose feed it reads.';
COMMENT ON COLUMN reporting.feed_consumers.position IS 'Position up to which it confirmed every change.';
COMMENT ON COLUMN reporting.feed_consumers.newest_position IS
    'Newest position of the feed. The difference is at least the number of changes that wait: there are gaps.';
COMMENT ON COLUMN reporting.feed_consumers.waiting_since IS
    'Instant of the first change that it has not confirmed; null if there is none.';
COMMENT ON COLUMN reporting.feed_consumers.read_at IS 'Instant at which it last read.';
COMMENT ON COLUMN reporting.feed_consumers.confirmed_at IS
    'Instant at which it last confirmed something; null if it never did.';
COMMENT ON COLUMN reporting.feed_consumers.has_missed IS
    'Whether retention removed changes that it had not confirmed; false again once it has read on behind them.';
GRANT SELECT ON reporting.feed_consumers TO kvitto_analyst;

-- Returns the changes behind the consumer's cursor. It locks the cursor: of two instances of a consumer, one waits
-- until the transaction of the other ends.
CREATE FUNCTION reporting.read_feed(consumer text, provider text, max_rows integer DEFAULT 100)
RETURNS SETOF reporting.feed
LANGUAGE plpgsql SECURITY DEFINER SET search_path = kvitto, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    confirmed bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM feed_positions WHERE provider = read_feed.provider UNION ALL
                   SELECT FROM ingest_progress WHERE provider = read_feed.provider) THEN
        RAISE EXCEPTION 'no worker has served provider % yet', read_feed.provider
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Correct the provider, or start its worker.';
    END IF;
    INSERT INTO feed_cursors AS kept (consumer, provider) VALUES (read_feed.consumer, read_feed.provider)
    ON CONFLICT (consumer, provider) DO UPDATE SET read_at = excluded.read_at
    RETURNING position INTO confirmed;
    RETURN QUERY
        SELECT * FROM reporting.feed
        WHERE provider = read_feed.provider AND position > confirmed ORDER BY position LIMIT max_rows;
END
$$;
COMMENT ON FUNCTION reporting.read_feed IS
    'Changes of a provider that the consumer has not confirmed, in order of position. The first call of a consumer '
    'begins before the oldest change.';

-- Moves the cursor, never back. A position beyond the feed is one that a fail-over took back: it may be given again.
CREATE FUNCTION reporting.confirm_feed(consumer text, provider text, up_to bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = kvitto, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    newest bigint := coalesce((SELECT position FROM feed_positions WHERE provider = confirm_feed.provider), 0);
BEGIN
    IF up_to IS NULL OR up_to > newest THEN
        RAISE EXCEPTION 'position % is not in the feed of %, which ends at %', up_to, confirm_feed.provider, newest
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Read again, and confirm a position that was read.';
    END IF;
    UPDATE feed_cursors SET position = greatest(position, up_to), confirmed_at = clock_timestamp()
    WHERE consumer = confirm_feed.consumer AND provider = confirm_feed.provider;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'consumer % has never read the feed of %', confirm_feed.consumer, confirm_feed.provider
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Call reporting.read_feed first.';
    END IF;
END
$$;
COMMENT ON FUNCTION reporting.confirm_feed IS
    'Records that the consumer has processed every change up to a position; read_feed then begins behind it.';

CREATE FUNCTION reporting.forget_consumer(consumer text) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = kvitto, pg_temp
AS $$
    WITH forgotten AS (DELETE FROM feed_cursors WHERE consumer = forget_consumer.consumer RETURNING provider)
    SELECT count(*) FROM forgotten
$$;
COMMENT ON FUNCTION reporting.forget_consumer IS
    'Deletes the cursors of a consumer that is no longer used; returns how many there were.';

REVOKE EXECUTE ON FUNCTION reporting.read_feed, reporting.confirm_feed, reporting.forget_consumer FROM PUBLIC;
GRANT USAGE ON SCHEMA reporting TO kvitto_consumer;
GRANT SELECT ON reporting.feed TO kvitto_consumer;
GRANT EXECUTE ON FUNCTION reporting.read_feed, reporting.confirm_feed, reporting.forget_consumer TO kvitto_consumer;
GRANT EXECUTE ON FUNCTION reporting.forget_consumer TO kvitto_worker;  -- in whose role operators' commands run
