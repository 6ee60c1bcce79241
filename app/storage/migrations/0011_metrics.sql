-- What metrics read at every scrape: counts that stay cheap however large the ledger is.

SET LOCAL search_path = kvitto;

-- Dead letters are rare among millions of receipts; this index alone answers. Nothing was released without it.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX receipts_dead ON receipts (provider, topic COLLATE "C", reason COLLATE "C") INCLUDE (received_at)
    WHERE outcome = 'dead';

CREATE VIEW reporting.dead_letter_counts AS
SELECT provider, topic COLLATE "C" AS topic, reason COLLATE "C" AS reason, count(*) AS dead_letters,
       min(received_at) AS first_received_at, max(received_at) AS last_received_at
FROM receipts
WHERE outcome = 'dead'
GROUP BY provider, topic COLLATE "C", reason COLLATE "C";
COMMENT ON VIEW reporting.dead_letter_counts IS 'How many dead letters wait for a replay.';
COMMENT ON COLUMN reporting.dead_letter_counts.provider IS 'Who sent them.';
COMMENT ON COLUMN reporting.dead_letter_counts.topic IS 'What they were delivered as.';
COMMENT ON COLUMN reporting.dead_letter_counts.reason IS 'Why they are dead letters, as a slug.';
COMMENT ON COLUMN reporting.dead_letter_counts.dead_letters IS 'Number of dead letters, without those replayed since.';
COMMENT ON COLUMN reporting.dead_letter_counts.first_received_at IS
    'Instant at which the oldest of them was made durable.';
COMMENT ON COLUMN reporting.dead_letter_counts.last_received_at IS
    'Instant at which the newest of them was made durable.';
GRANT SELECT ON reporting.dead_letter_counts TO kvitto_analyst;

-- Nothing was released without it.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX dead_letters_replayed ON dead_letters (reason COLLATE "C") WHERE replayed_at IS NOT NULL;

CREATE VIEW reporting.replay_counts AS
SELECT reason COLLATE "C" AS reason, count(*) AS replayed
FROM dead_letters
WHERE replayed_at IS NOT NULL
GROUP BY reason COLLATE "C";
COMMENT ON VIEW reporting.replay_counts IS 'How many dead letters a replay turned into events.';
COMMENT ON COLUMN reporting.replay_counts.reason IS 'Why they were dead letters, as a slug.';
COMMENT ON COLUMN reporting.replay_counts.replayed IS 'Number of deliveries that are events since.';
GRANT SELECT ON reporting.replay_counts TO kvitto_analyst;

-- The index overflow_waiting answers.
CREATE VIEW reporting.overflow_backlog AS
SELECT provider, count(*) AS entries, min(received_at) AS oldest_at
FROM overflow
WHERE ciphertext IS NOT NULL AND provider NOT LIKE 'canary/%'
GROUP BY provider;
COMMENT ON VIEW reporting.overflow_backlog IS
    'Deliveries that wait in the overflow: Redis could not take them, or they are too large for it.';
COMMENT ON COLUMN reporting.overflow_backlog.provider IS 'Who sent them.';
COMMENT ON COLUMN reporting.overflow_backlog.entries IS 'Number of deliveries that wait.';
COMMENT ON COLUMN reporting.overflow_backlog.oldest_at IS 'Instant at which the oldest of them was made durable.';
GRANT SELECT ON reporting.overflow_backlog TO kvitto_analyst;
