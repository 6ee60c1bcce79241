-- The ledger: one receipt for every delivery that was answered 200.

CREATE SCHEMA kvitto;
SET LOCAL search_path = kvitto;

CREATE TYPE outcome AS ENUM ('stored', 'duplicate', 'dead');

-- Narrow on purpose: what is counted, listed and audited.
CREATE TABLE receipts (
    receipt      uuid PRIMARY KEY,
    provider     text NOT NULL,
    topic        text NOT NULL,
    event_type   text,
    entity_id    text,
    outcome      outcome NOT NULL,
    reason       text,
    received_at  timestamptz NOT NULL,
    processed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Which life of the inbox it came through, and its place there (received_at has the milliseconds).
    epoch        uuid NOT NULL,
    seq          bigint NOT NULL,
    CHECK ((outcome = 'dead') <= (reason IS NOT NULL))
);
CREATE INDEX receipts_by_position ON receipts (provider, epoch, received_at, seq);
CREATE INDEX receipts_by_outcome ON receipts (provider, outcome);

-- Why a receipt is, or was, a dead letter: kept when it is replayed.
CREATE TABLE dead_letters (
    receipt     uuid PRIMARY KEY REFERENCES receipts,
    reason      text NOT NULL,
    detail      text NOT NULL,
    replayed_at timestamptz
);

-- Further entries of a receipt: an append whose answer was lost and that was made again.
CREATE TABLE copies (
    provider    text NOT NULL,
    epoch       uuid NOT NULL,
    received_at timestamptz NOT NULL,
    seq         bigint NOT NULL,
    receipt     uuid NOT NULL REFERENCES receipts,
    PRIMARY KEY (provider, epoch, received_at, seq)
);

-- What was received, sealed: the only place with clear values, apart so that it can be erased apart.
CREATE TABLE bodies (
    receipt uuid PRIMARY KEY REFERENCES receipts ON DELETE CASCADE,
    headers jsonb NOT NULL,
    sealed  bytea NOT NULL
);
ALTER TABLE bodies ALTER COLUMN sealed SET STORAGE EXTERNAL;  -- ciphertext does not compress

-- Every valid receipt's content; `revision` is null where it brought nothing new.
-- Duplicates are kept too: an older receipt that turns up late may make one of them a revision.
CREATE TABLE events (
    receipt     uuid PRIMARY KEY REFERENCES receipts,
    provider    text NOT NULL,
    event_type  text NOT NULL,
    entity_id   text NOT NULL,
    received_at timestamptz NOT NULL,
    revision    integer,
    identity    text,
    content     jsonb NOT NULL,
    digests     jsonb NOT NULL,
    doubts      jsonb NOT NULL,
    flags       text[] NOT NULL
);
CREATE INDEX events_by_entity ON events (provider, event_type, entity_id);

-- What each provider's inbox looked like when it was last looked into.
CREATE TABLE looks (
    provider       text PRIMARY KEY,
    complete_until timestamptz NOT NULL,
    pending        bigint NOT NULL,
    looked_at      timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Current state: later keys win, keys that a later revision lacks keep their earlier value.
CREATE AGGREGATE jsonb_merge(jsonb) (SFUNC = jsonb_concat, STYPE = jsonb, INITCOND = '{}');
