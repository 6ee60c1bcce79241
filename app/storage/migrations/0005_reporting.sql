-- The views that dashboards read, of all providers. Their names are stable; new columns are added at the end.
-- kvitto_analyst reads the columns that hold neither content nor contact data.

SET LOCAL search_path = kvitto;

COMMENT ON SCHEMA reporting IS
    'Views for dashboards. Times are instants (timestamptz): a Swedish day needs AT TIME ZONE ''Europe/Stockholm''.';

-- Outcomes by CASE and not by a cast, as in the index receipts_not_stored.
CREATE VIEW reporting.deliveries AS
SELECT receipt, provider, topic, event_type, entity_id,
       CASE outcome WHEN 'stored' THEN 'stored' WHEN 'duplicate' THEN 'duplicate' WHEN 'dead' THEN 'dead'
                    WHEN 'discarded' THEN 'discarded' END COLLATE "C" AS outcome, reason, received_at, processed_at,
       (SELECT milliseconds FROM answers WHERE answers.receipt = receipts.receipt) AS answered_ms,
       (SELECT complete FROM answers WHERE answers.receipt = receipts.receipt) AS answer_complete,
       erased_at
FROM receipts;
COMMENT ON VIEW reporting.deliveries IS 'Every delivery that was answered 200 and is in the ledger.';
COMMENT ON COLUMN reporting.deliveries.receipt IS 'Receipt id that the provider got (UUIDv7).';
COMMENT ON COLUMN reporting.deliveries.provider IS 'Who sent it.';
COMMENT ON COLUMN reporting.deliveries.topic IS
    'What it was delivered as: segment of the URL, or event type in a header.';
COMMENT ON COLUMN reporting.deliveries.event_type IS 'Type of the event; null for a dead letter.';
COMMENT ON COLUMN reporting.deliveries.entity_id IS 'Id of what the event is about; null for a dead letter, and once erased.';
COMMENT ON COLUMN reporting.deliveries.outcome IS 'stored, duplicate, dead or discarded.';
COMMENT ON COLUMN reporting.deliveries.reason IS
    'Why it is a duplicate or dead, or what made it a revision, as a slug; null if there is nothing to add.';
COMMENT ON COLUMN reporting.deliveries.received_at IS
    'Instant at which it was made durable, by the clock of this server; never before an earlier delivery of its '
    'provider. Not when the provider sent it.';
COMMENT ON COLUMN reporting.deliveries.processed_at IS
    'Instant at which a worker stored it, by the clock of this server.';
COMMENT ON COLUMN reporting.deliveries.answered_ms IS
    'Time from the request''s headers to the end of the answer, in milliseconds, as ingest measured it; null if unknown.';
COMMENT ON COLUMN reporting.deliveries.answer_complete IS
    'Whether ingest sent the whole answer; false if the sender had hung up, null if unknown. No proof that it arrived.';
COMMENT ON COLUMN reporting.deliveries.erased_at IS
    'Instant at which all that the delivery held was erased; null if it was not.';
GRANT SELECT ON reporting.deliveries TO kvitto_analyst;

CREATE VIEW reporting.events AS
SELECT provider, event_type, entity_id, revision, content, flags, receipt, received_at
FROM events
WHERE revision IS NOT NULL;
COMMENT ON VIEW reporting.events IS 'Every event that changed its entity; duplicates are left out.';
COMMENT ON COLUMN reporting.events.provider IS 'Who sent it.';
COMMENT ON COLUMN reporting.events.event_type IS 'Type of the event.';
COMMENT ON COLUMN reporting.events.entity_id IS 'Id of what the event is about.';
COMMENT ON COLUMN reporting.events.revision IS
    'Number of the revision within its entity, from 1, in order of receipt. An older delivery that is stored later '
    'changes the numbers behind it.';
COMMENT ON COLUMN reporting.events.content IS
    'Content as it was sent; national ids masked, files reduced to name, type, size and SHA-256.';
COMMENT ON COLUMN reporting.events.flags IS 'Quality flags, as slugs: what is doubtful about the content.';
COMMENT ON COLUMN reporting.events.receipt IS 'Receipt id of the delivery.';
COMMENT ON COLUMN reporting.events.received_at IS
    'Instant at which the delivery was made durable; not when the provider sent it.';
GRANT SELECT (provider, event_type, entity_id, revision, flags, receipt, received_at) ON reporting.events
    TO kvitto_analyst;

-- An answer within 5 s is in time for every provider: the shortest time-out is 10 s.
CREATE VIEW reporting.suspected_late_retries AS
SELECT provider, event_type, entity_id, receipt, received_at, retry_of
FROM events
WHERE retry_of IS NOT NULL AND NOT EXISTS (
    SELECT FROM unnest(retry_of) AS earlier (receipt) LEFT JOIN answers USING (receipt)
    WHERE (complete AND milliseconds <= 5000) IS NOT TRUE
) AND NOT EXISTS (SELECT FROM late_retry_findings WHERE late_retry_findings.receipt = events.receipt);
COMMENT ON VIEW reporting.suspected_late_retries IS
    'Late retries that may be a change back: the content is that of an older revision and the time fits the '
    'provider''s retry schedule, but every earlier try was answered promptly and completely. They count as duplicates '
    'until an operator runs kvitto deliveries accept, or dismiss, which takes them off this view.';
COMMENT ON COLUMN reporting.suspected_late_retries.provider IS 'Who sent it.';
COMMENT ON COLUMN reporting.suspected_late_retries.event_type IS 'Type of the event.';
COMMENT ON COLUMN reporting.suspected_late_retries.entity_id IS 'Id of what the event is about.';
COMMENT ON COLUMN reporting.suspected_late_retries.receipt IS 'Receipt id of the delivery.';
COMMENT ON COLUMN reporting.suspected_late_retries.received_at IS 'Instant at which the delivery was made durable.';
COMMENT ON COLUMN reporting.suspected_late_retries.retry_of IS
    'Receipt ids of the earlier tries that the time fits, oldest first.';
GRANT SELECT ON reporting.suspected_late_retries TO kvitto_analyst;

CREATE VIEW reporting.dead_letters AS
SELECT receipt, provider, topic, dead_letters.reason, detail, received_at, replayed_at, discarded_at
FROM dead_letters JOIN receipts USING (receipt);
COMMENT ON VIEW reporting.dead_letters IS 'Deliveries that could not become events, those replayed since included.';
COMMENT ON COLUMN reporting.dead_letters.receipt IS 'Receipt id of the delivery.';
COMMENT ON COLUMN reporting.dead_letters.provider IS 'Who sent it.';
COMMENT ON COLUMN reporting.dead_letters.topic IS 'What it was delivered as.';
COMMENT ON COLUMN reporting.dead_letters.reason IS 'Why it is a dead letter, as a slug.';
COMMENT ON COLUMN reporting.dead_letters.detail IS 'What failed; quotes no value.';
COMMENT ON COLUMN reporting.dead_letters.received_at IS 'Instant at which the delivery was made durable.';
COMMENT ON COLUMN reporting.dead_letters.replayed_at IS
    'Instant at which a replay turned it into an event; null while it is dead.';
COMMENT ON COLUMN reporting.dead_letters.discarded_at IS
    'Instant at which an operator discarded or erased it, so that it waits no longer; null if none did.';
GRANT SELECT ON reporting.dead_letters TO kvitto_analyst;

CREATE VIEW reporting.delivery_counts AS
SELECT provider,
       coalesce(sum(deliveries) FILTER (WHERE outcome = 'stored'), 0)::bigint AS stored,
       coalesce(sum(deliveries) FILTER (WHERE outcome = 'duplicate'), 0)::bigint AS duplicate,
       coalesce(sum(deliveries) FILTER (WHERE outcome = 'dead'), 0)::bigint AS dead,
       coalesce(sum(deliveries) FILTER (WHERE outcome = 'discarded'), 0)::bigint AS discarded,
       statement_timestamp() AS as_of
FROM outcome_counts()
GROUP BY provider;
COMMENT ON VIEW reporting.delivery_counts IS
    'How many deliveries had which outcome, per provider, those that retention removed since included.';
COMMENT ON COLUMN reporting.delivery_counts.provider IS 'Who sent them.';
COMMENT ON COLUMN reporting.delivery_counts.stored IS 'Number of deliveries stored as new events.';
COMMENT ON COLUMN reporting.delivery_counts.duplicate IS 'Number of deliveries that brought nothing new.';
COMMENT ON COLUMN reporting.delivery_counts.dead IS 'Number of dead letters, without those replayed or discarded since.';
COMMENT ON COLUMN reporting.delivery_counts.discarded IS
    'Number of dead letters that an operator discarded, and of deliveries erased before they were stored.';
COMMENT ON COLUMN reporting.delivery_counts.as_of IS 'Instant of the count.';
GRANT SELECT ON reporting.delivery_counts TO kvitto_analyst;

-- date_bin and not date_trunc: that depends on the session's time zone, so no index can hold it. The index
-- receipts_by_minute alone answers, in the order of the groups: only the latencies of each group are sorted.
CREATE VIEW reporting.throughput_per_minute AS
SELECT date_bin('1 minute', received_at, 'epoch') AS minute, provider, outcome::text AS outcome, count(*) AS deliveries,
       percentile_cont(0.50) WITHIN GROUP (ORDER BY latency_ms) AS p50_ms,
       percentile_cont(0.95) WITHIN GROUP (ORDER BY latency_ms) AS p95_ms,
       percentile_cont(0.99) WITHIN GROUP (ORDER BY latency_ms) AS p99_ms
FROM (
    SELECT *, date_part('epoch', processed_at - received_at) * 1000 AS latency_ms FROM receipts
) AS timed
GROUP BY date_bin('1 minute', received_at, 'epoch'), provider, outcome;
COMMENT ON VIEW reporting.throughput_per_minute IS
    'Deliveries per minute, and how long each waited between receipt and ledger.';
COMMENT ON COLUMN reporting.throughput_per_minute.minute IS
    'Instant at which the minute began in which they were received.';
COMMENT ON COLUMN reporting.throughput_per_minute.provider IS 'Who sent them.';
COMMENT ON COLUMN reporting.throughput_per_minute.outcome IS 'stored, duplicate, dead or discarded.';
COMMENT ON COLUMN reporting.throughput_per_minute.deliveries IS 'Number of deliveries.';
COMMENT ON COLUMN reporting.throughput_per_minute.p50_ms IS
    'Median of the time from receipt to ledger, in milliseconds.';
COMMENT ON COLUMN reporting.throughput_per_minute.p95_ms IS '95th percentile of that time, in milliseconds.';
COMMENT ON COLUMN reporting.throughput_per_minute.p99_ms IS '99th percentile of that time, in milliseconds.';
GRANT SELECT ON reporting.throughput_per_minute TO kvitto_analyst;

CREATE VIEW reporting.freshness AS
SELECT provider, complete_until, pending, clock_skew_seconds FROM ingest_progress;
COMMENT ON VIEW reporting.freshness IS 'How complete the ledger is, per provider, as of the last sweep.';
COMMENT ON COLUMN reporting.freshness.provider IS 'Whose inbox.';
COMMENT ON COLUMN reporting.freshness.complete_until IS
    'Watermark, an instant: every delivery received before it is in the ledger.';
COMMENT ON COLUMN reporting.freshness.pending IS 'Number of deliveries that waited in inbox and overflow.';
COMMENT ON COLUMN reporting.freshness.clock_skew_seconds IS
    'Seconds by which the clock of Redis, or a time of receipt, was ahead of the clock of this server.';
GRANT SELECT ON reporting.freshness TO kvitto_analyst;

CREATE VIEW reporting.audits AS
SELECT provider, audited_at, appended, overflowed, receipts, copies, in_flight, accepted_loss, missing
FROM audits;
COMMENT ON VIEW reporting.audits IS
    'Last audit per provider: appended + overflowed = receipts + copies + in_flight + accepted_loss + missing.';
COMMENT ON COLUMN reporting.audits.provider IS 'Whose deliveries.';
COMMENT ON COLUMN reporting.audits.audited_at IS 'Instant at which the audit ran.';
COMMENT ON COLUMN reporting.audits.appended IS 'Number of entries ever appended to the inbox, over all epochs.';
COMMENT ON COLUMN reporting.audits.overflowed IS 'Number of rows ever written to the overflow.';
COMMENT ON COLUMN reporting.audits.receipts IS 'Number of entries that are receipts in the ledger.';
COMMENT ON COLUMN reporting.audits.copies IS 'Number of further entries of a receipt that is in the ledger.';
COMMENT ON COLUMN reporting.audits.in_flight IS 'Number of entries that wait to be processed.';
COMMENT ON COLUMN reporting.audits.accepted_loss IS 'Number of lost entries that an operator accepted as lost.';
COMMENT ON COLUMN reporting.audits.missing IS 'Number of entries that nothing accounts for; anything but 0 is a loss.';
GRANT SELECT ON reporting.audits TO kvitto_analyst;

CREATE VIEW reporting.canaries AS
SELECT provider, sent_at, stored_at FROM canaries;
COMMENT ON VIEW reporting.canaries IS
    'The newest canary per provider: a delivery of our own that takes the whole path.';
COMMENT ON COLUMN reporting.canaries.provider IS 'Whose path it took.';
COMMENT ON COLUMN reporting.canaries.sent_at IS 'Instant at which it was sent, by the sender''s clock.';
COMMENT ON COLUMN reporting.canaries.stored_at IS 'Instant at which a worker stored it, by the clock of this server.';
GRANT SELECT ON reporting.canaries TO kvitto_analyst;

CREATE VIEW reporting.fallbacks AS
SELECT process, provider, reason, since, last_at FROM fallbacks;
COMMENT ON VIEW reporting.fallbacks IS
    'When processes last worked round a failed server, per process and provider. It loses nothing, and must not last.';
COMMENT ON COLUMN reporting.fallbacks.process IS
    'ingest (deliveries were stored in Postgres instead of Redis) or worker (inboxes were drained without wake-ups).';
COMMENT ON COLUMN reporting.fallbacks.provider IS 'Whose deliveries.';
COMMENT ON COLUMN reporting.fallbacks.reason IS 'Slug of the cause.';
COMMENT ON COLUMN reporting.fallbacks.since IS 'Instant at which it began.';
COMMENT ON COLUMN reporting.fallbacks.last_at IS
    'Instant at which it was last so; older than a minute: it is over.';
GRANT SELECT ON reporting.fallbacks TO kvitto_analyst;
