-- Schemas and roles. Each process has a role of its own with the least privilege; `kvitto migrate` sets passwords.
--   kvitto_ingest     writes the overflow and high-water marks
--   kvitto_worker     stores deliveries; it can delete nothing that is in the ledger
--   kvitto_console    reads the views of `reporting`
--   kvitto_dashboard  the same, for dashboards of the operator's own
--   kvitto_analyst    reads columns of `reporting` without contact data: each view says which

CREATE SCHEMA kvitto;     -- tables, of the owner and the processes only
CREATE SCHEMA reporting;  -- views with stable names and without clear national ids, for dashboards

-- Roles belong to the whole server: the migration of another database may have created them, or create them right now.
DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['kvitto_ingest', 'kvitto_worker', 'kvitto_console', 'kvitto_dashboard', 'kvitto_analyst'] LOOP
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name) THEN
                EXECUTE format('CREATE ROLE %I LOGIN', role_name);
            END IF;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
    END LOOP;
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
    -- So that `SELECT * FROM kompar_applications` finds the view.
    FOREACH role_name IN ARRAY ARRAY['kvitto_dashboard', 'kvitto_analyst'] LOOP
        EXECUTE format('ALTER ROLE %I IN DATABASE %I SET search_path = reporting', role_name, current_database());
    END LOOP;
END
$$;

GRANT USAGE ON SCHEMA kvitto TO kvitto_ingest, kvitto_worker;
GRANT USAGE ON SCHEMA reporting TO kvitto_worker, kvitto_console, kvitto_dashboard, kvitto_analyst;
-- Every view of this schema, those of later migrations included. kvitto_analyst gets nothing by default.
ALTER DEFAULT PRIVILEGES IN SCHEMA reporting GRANT SELECT ON TABLES TO kvitto_worker, kvitto_console, kvitto_dashboard;
GRANT SELECT ON public.kvitto_migrations TO kvitto_ingest, kvitto_worker, kvitto_console;
