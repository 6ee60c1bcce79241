-- The overflow: deliveries that Redis could not take, or that are too large to fill it with.
-- Rows stay for good, as the record of what came this way; the sealed body goes when the ledger has it.

SET LOCAL search_path = kvitto;

CREATE TABLE overflow (
    receipt     uuid PRIMARY KEY,
    provider    text NOT NULL,
    topic       text NOT NULL,
    headers     jsonb NOT NULL,
    sealed      bytea,
    received_at timestamptz NOT NULL,
    seq         bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    claims      integer NOT NULL DEFAULT 0,
    claimed_by  text,
    claimed_at  timestamptz
);
ALTER TABLE overflow ALTER COLUMN sealed SET STORAGE EXTERNAL;
CREATE INDEX overflow_waiting ON overflow (provider, received_at, seq) WHERE sealed IS NOT NULL;

GRANT USAGE ON SCHEMA kvitto TO kvitto_ingest;
GRANT INSERT ON overflow TO kvitto_ingest;
REVOKE INSERT, DELETE ON overflow FROM kvitto_worker;
GRANT SELECT, UPDATE (sealed, claims, claimed_by, claimed_at) ON overflow TO kvitto_worker;
