-- What is usual of each provider: when its deliveries arrive, and what they look like. Workers keep it after each drain.
-- It is evidence for operators and no part of the ledger: a crash may lose the counts of a few seconds.

SET LOCAL search_path = kvitto;

-- What arrived in each hour of the last weeks. Topic '' is all of the provider.
CREATE TABLE hourly_arrivals (
    provider         text COLLATE "C" NOT NULL,
    topic            text COLLATE "C" NOT NULL,
    hour             timestamptz NOT NULL,
    receipts         bigint NOT NULL,
    active           bit(360) NOT NULL,  -- in which slots of ten seconds something arrived
    last_received_at timestamptz NOT NULL,
    PRIMARY KEY (provider, topic, hour)
) WITH (fillfactor = 50);  -- the row of this hour is updated all the time
GRANT SELECT, INSERT, UPDATE, DELETE ON hourly_arrivals TO kvitto_worker;

-- By when the next delivery is expected after the last one; null if nothing can be said.
CREATE TABLE expected_arrivals (
    provider          text COLLATE "C" NOT NULL,
    topic             text COLLATE "C" NOT NULL,
    last_received_at  timestamptz NOT NULL,
    usual_gap_seconds double precision,
    expected_by       timestamptz,
    PRIMARY KEY (provider, topic)
);
GRANT SELECT, INSERT, UPDATE ON expected_arrivals TO kvitto_worker;

-- What content holds that the provider's schema does not declare. Rows of an event type are bounded in number.
CREATE TABLE schema_drift (
    provider            text COLLATE "C" NOT NULL,
    event_type          text COLLATE "C" NOT NULL,
    path                text COLLATE "C" NOT NULL,
    json_type           text COLLATE "C" NOT NULL,
    value               text COLLATE "C" NOT NULL,  -- '' for a key or a type
    kind                text NOT NULL CHECK (kind IN ('key', 'type', 'value', 'more')),
    first_received_at   timestamptz NOT NULL,
    last_received_at    timestamptz NOT NULL,
    deliveries          bigint NOT NULL,
    receipt             uuid NOT NULL,
    known_since_install boolean NOT NULL,
    PRIMARY KEY (provider, event_type, path, json_type, value)
) WITH (fillfactor = 70);
GRANT SELECT, INSERT, UPDATE ON schema_drift TO kvitto_worker;

-- A silence counts only while the ledger is complete: what was received up to then is known.
CREATE VIEW reporting.silence AS
SELECT provider, nullif(topic, '') AS topic, coalesce(newest.last_received_at, expected.last_received_at)
           AS last_received_at,
       usual_gap_seconds, expected_by,
       coalesce(complete_until > expected_by
                AND coalesce(newest.last_received_at, expected.last_received_at) <= expected.last_received_at, false)
           AS is_silent
FROM expected_arrivals AS expected
LEFT JOIN ingest_progress USING (provider)
LEFT JOIN LATERAL (
    SELECT last_received_at FROM hourly_arrivals AS arrived
    WHERE arrived.provider = expected.provider AND arrived.topic = expected.topic ORDER BY hour DESC LIMIT 1
) AS newest ON true;
COMMENT ON VIEW reporting.silence IS
    'When each provider and topic last delivered, and whether it has been silent for longer than chance explains. '
    'The usual times are learned from the last eight weeks.';
COMMENT ON COLUMN reporting.silence.provider IS 'Who sends.';
COMMENT ON COLUMN reporting.silence.topic IS 'What is delivered; null for all topics of the provider together.';
COMMENT ON COLUMN reporting.silence.last_received_at IS 'Instant at which the last delivery was made durable.';
COMMENT ON COLUMN reporting.silence.usual_gap_seconds IS
    'Usual seconds between two deliveries in the hour of the week of the last one; null with less than two weeks of '
    'history.';
COMMENT ON COLUMN reporting.silence.expected_by IS
    'Instant by which the next delivery is expected: chance alone explains a longer silence once in 20 months. Null if '
    'there is too little history.';
COMMENT ON COLUMN reporting.silence.is_silent IS
    'Whether nothing has arrived by then, although the ledger is complete beyond that instant.';
GRANT SELECT ON reporting.silence TO kvitto_analyst;

CREATE VIEW reporting.schema_drift AS
SELECT provider, event_type, kind, path, json_type, nullif(value, '') AS value, first_received_at, last_received_at,
       deliveries, receipt, known_since_install
FROM schema_drift;
COMMENT ON VIEW reporting.schema_drift IS
    'What deliveries hold that the schema of their event type does not declare: keys, types and values of lists.';
COMMENT ON COLUMN reporting.schema_drift.provider IS 'Who sent it.';
COMMENT ON COLUMN reporting.schema_drift.event_type IS 'Type of the events.';
COMMENT ON COLUMN reporting.schema_drift.kind IS
    'key: it is not declared; type: it is, or was seen before, with another type; value: it is not in the list of its '
    'field; more: there is more than has a row.';
COMMENT ON COLUMN reporting.schema_drift.path IS
    'Path of the key. [] stands for every index of an array, * for keys that may be ids or names.';
COMMENT ON COLUMN reporting.schema_drift.json_type IS 'string, number, boolean, null, object or array.';
COMMENT ON COLUMN reporting.schema_drift.value IS
    'The value, for kind value only; (not shown) if it is not words that a list may hold.';
COMMENT ON COLUMN reporting.schema_drift.first_received_at IS
    'Instant at which the first such delivery was made durable.';
COMMENT ON COLUMN reporting.schema_drift.last_received_at IS
    'Instant at which the last such delivery was made durable.';
COMMENT ON COLUMN reporting.schema_drift.deliveries IS 'Number of such deliveries; those of a crashed worker may lack.';
COMMENT ON COLUMN reporting.schema_drift.receipt IS 'Receipt id of the last such delivery.';
COMMENT ON COLUMN reporting.schema_drift.known_since_install IS
    'Whether it was first seen among the first 100 events of its type: then it is no change.';
GRANT SELECT ON reporting.schema_drift TO kvitto_analyst;
