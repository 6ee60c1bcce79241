-- What the audit knows of past epochs: an inbox's own counter is gone with its server.

SET LOCAL search_path = kvitto;

-- What each sweep saw: the server's own count of entries appended in this epoch, up to a last position.
CREATE TABLE censuses (
    provider text NOT NULL,
    epoch    uuid NOT NULL,
    appended bigint NOT NULL,
    last_ms  bigint NOT NULL,
    last_seq bigint NOT NULL,
    seen_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (provider, epoch)
);

-- What each edge process had confirmed by the server, whether or not a sweep ran.
CREATE TABLE tallies (
    provider text NOT NULL,
    epoch    uuid NOT NULL,
    edge     uuid NOT NULL,
    appended bigint NOT NULL,
    last_ms  bigint NOT NULL,
    last_seq bigint NOT NULL,
    seen_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (provider, epoch, edge)
);

-- What was lost for good and settled otherwise: can be added to, never changed by those who add.
CREATE TABLE accepted_losses (
    provider    text NOT NULL,
    epoch       uuid NOT NULL,
    entries     bigint NOT NULL CHECK (entries > 0),
    reason      text NOT NULL CHECK (reason <> ''),
    operator    text NOT NULL,
    role        text NOT NULL DEFAULT session_user,
    accepted_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Each provider's last audit; told_at: when the log last said that something is missing.
CREATE TABLE audits (
    provider      text PRIMARY KEY,
    audited_at    timestamptz NOT NULL,
    appended      bigint NOT NULL,
    overflowed    bigint NOT NULL,
    receipts      bigint NOT NULL,
    copies        bigint NOT NULL,
    in_flight     bigint NOT NULL,
    accepted_loss bigint NOT NULL,
    missing       bigint NOT NULL,
    told_at       timestamptz
);

CREATE VIEW reporting.audits AS
SELECT provider, audited_at, appended, overflowed, receipts, copies, in_flight, accepted_loss, missing
FROM audits;

GRANT SELECT, INSERT, UPDATE ON tallies TO kvitto_ingest;
REVOKE ALL ON censuses, tallies, accepted_losses, audits FROM kvitto_worker;
GRANT SELECT, INSERT, UPDATE ON censuses, audits TO kvitto_worker;
GRANT SELECT, INSERT (provider, epoch, entries, reason, operator) ON accepted_losses TO kvitto_worker;
GRANT SELECT ON tallies TO kvitto_worker;
