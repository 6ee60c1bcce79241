-- One role per process, each with the least that it needs. They log in; their passwords are set by `kvitto migrate`.
--   kvitto_worker     takes deliveries in; nothing that is in the ledger can it delete
--   kvitto_ingest     may log in; what it may do comes with the tables it writes
--   kvitto_console    reads what dashboards read
--   kvitto_dashboard  the same, for others

SET LOCAL search_path = kvitto;

-- Roles belong to the whole server: another database's migration may have made them, or be making them now.
DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['kvitto_ingest', 'kvitto_worker', 'kvitto_console'] LOOP
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
                EXECUTE format('CREATE ROLE %I LOGIN', wanted);
            END IF;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
    END LOOP;
END
$$;

-- Who opened a sealed body, and why: can be added to, never changed by those who add.
CREATE TABLE reveals (
    receipt     uuid NOT NULL REFERENCES receipts,
    reason      text NOT NULL CHECK (reason <> ''),
    operator    text NOT NULL,
    role        text NOT NULL DEFAULT session_user,
    revealed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

GRANT USAGE ON SCHEMA kvitto, reporting TO kvitto_worker;
GRANT SELECT, INSERT ON receipts, events TO kvitto_worker;
GRANT UPDATE (outcome, reason, event_type, entity_id, received_at, epoch, seq) ON receipts TO kvitto_worker;
GRANT UPDATE (received_at, revision, doubts, flags) ON events TO kvitto_worker;
GRANT SELECT, INSERT, UPDATE ON dead_letters, looks TO kvitto_worker;
GRANT SELECT, INSERT ON copies, bodies TO kvitto_worker;
GRANT INSERT (receipt, reason, operator) ON reveals TO kvitto_worker;  -- the rest is the server's to say
GRANT SELECT ON public.kvitto_migrations TO kvitto_ingest, kvitto_worker, kvitto_console;
GRANT SELECT ON ALL TABLES IN SCHEMA reporting TO kvitto_worker, kvitto_console;
GRANT USAGE ON SCHEMA reporting TO kvitto_console;
ALTER DEFAULT PRIVILEGES IN SCHEMA reporting GRANT SELECT ON TABLES TO kvitto_worker, kvitto_console;

-- Tables of current state are laid out anew from the ledger: those there are, and those of providers to come.
GRANT SELECT, INSERT, DELETE ON kompar_applications, kompar_decisions, solaris_credit_lines, solaris_overdraft_rates,
                                solaris_rejected_transactions TO kvitto_worker;
ALTER DEFAULT PRIVILEGES IN SCHEMA kvitto GRANT SELECT, INSERT, DELETE ON TABLES TO kvitto_worker;
