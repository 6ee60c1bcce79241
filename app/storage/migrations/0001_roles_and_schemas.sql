-- Schemas, and the roles of processes. `kvitto migrate` makes the roles before, each with the least privilege. Where a
-- migration names a role, ROLE_PREFIX replaces `kvitto`. Texts in keys and indexes are COLLATE "C": the order of other
-- collations changes with the C library of the server's image, and an index in the old order misses rows.
--   kvitto_ingest     writes the overflow and high-water marks
--   kvitto_worker     stores deliveries; it can remove what is older than four weeks from the ledger, and nothing else
--   kvitto_console    reads the views of `reporting`
--   kvitto_dashboard  the same, for dashboards of the operator's own
--   kvitto_analyst    reads columns of `reporting` without contact data: each view says which
--   kvitto_consumer   reads the feed, and confirms what it processed
--   kvitto_privacy    reads who did what to whose data: reporting.access_log

CREATE SCHEMA kvitto;     -- tables, of the owner and the processes only
CREATE SCHEMA reporting;  -- views with stable names and without clear national ids, for dashboards

GRANT USAGE ON SCHEMA kvitto TO kvitto_ingest, kvitto_worker;
GRANT USAGE ON SCHEMA reporting TO kvitto_worker, kvitto_console, kvitto_dashboard, kvitto_analyst,
    kvitto_privacy;
-- Every view of this schema, those of later migrations included. kvitto_analyst gets nothing by default.
ALTER DEFAULT PRIVILEGES IN SCHEMA reporting GRANT SELECT ON TABLES TO kvitto_worker, kvitto_console, kvitto_dashboard;
GRANT SELECT ON public.kvitto_migrations TO kvitto_ingest, kvitto_worker, kvitto_console;
