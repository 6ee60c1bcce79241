-- Who did what with the data of others, and how erased content is recognised when it comes again.

SET LOCAL search_path = kvitto;

-- Every reveal, export, erasure, replay, discard, readmission, reseal, removal by an operator, accepted loss, finding and
-- change of a subscription. `operator` is what the operator claims; the server fills `role`. The processes' roles add rows, and can neither read nor change them.
CREATE TABLE access_log (
    number    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    logged_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    action    text NOT NULL,
    operator  text NOT NULL CHECK (operator <> ''),
    role      text NOT NULL DEFAULT session_user,
    reason    text CHECK (reason <> ''),
    provider  text,
    receipt   uuid,
    subject   text
);
CREATE INDEX access_log_by_receipt ON access_log (receipt) WHERE receipt IS NOT NULL;
GRANT INSERT (action, operator, reason, provider, receipt, subject) ON access_log TO kvitto_worker;

CREATE VIEW reporting.access_log AS
SELECT number, logged_at, action, operator, role, reason, provider, receipt, subject FROM access_log;
COMMENT ON VIEW reporting.access_log IS
    'Who did what with the data of others, a row per action. For the role kvitto_privacy alone.';
COMMENT ON COLUMN reporting.access_log.number IS 'Number of the row; numbers may be missing.';
COMMENT ON COLUMN reporting.access_log.logged_at IS 'Instant at which it was recorded.';
COMMENT ON COLUMN reporting.access_log.action IS
    'reveal, export, erasure, replay, discard, readmission, reseal, retention, loss-accepted, late-retry-accepted, '
    'late-retry-dismissed, subscription-requested, subscription-adopted or subscription-removal.';
COMMENT ON COLUMN reporting.access_log.operator IS 'Who did it: a claim of the operator, which nothing proves.';
COMMENT ON COLUMN reporting.access_log.role IS 'Role of the connection, as the server saw it.';
COMMENT ON COLUMN reporting.access_log.reason IS 'Why, in the operator''s words; null for actions that need none.';
COMMENT ON COLUMN reporting.access_log.provider IS 'Whose deliveries; null if of all providers.';
COMMENT ON COLUMN reporting.access_log.receipt IS 'Receipt id of the one delivery it was about; null if of several.';
COMMENT ON COLUMN reporting.access_log.subject IS
    'What else it was about: pseudonym of a person, provider/type/id of an entity, epoch, or topic.';
-- The default of this schema grants every view to these.
REVOKE SELECT ON reporting.access_log FROM kvitto_worker, kvitto_console, kvitto_dashboard;
GRANT SELECT ON reporting.access_log TO kvitto_privacy;

-- Hashes of what was erased: of contents, whose repetitions must not be stored again, and of entities and persons, whose
-- later events are flagged. They are made of keyed digests and of ids, and show neither.
CREATE TABLE erased_digests (
    digest    bytea PRIMARY KEY,
    erased_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
GRANT SELECT ON erased_digests TO kvitto_worker;
