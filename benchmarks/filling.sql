-- Fills the ledger with events %(first)s to %(last)s of %(total)s, spread over a year: copies of an application that was
-- received, and for two of three of them a decision.
WITH template AS MATERIALIZED (
    SELECT * FROM kvitto.receipts JOIN kvitto.bodies USING (receipt) JOIN kvitto.events USING (receipt)
    WHERE kvitto.receipts.provider = 'kompar' AND kvitto.receipts.outcome = 'stored'
    ORDER BY receipt DESC LIMIT 1
), model AS (
    SELECT * FROM kvitto.kompar_applications ORDER BY first_received_at DESC LIMIT 1
), fresh AS MATERIALIZED (
    SELECT uuidv7(-age) AS receipt, now() - age AS received_at, n, is_decision,
           CASE WHEN is_decision THEN 'decisions' ELSE 'applications' END AS event_type,
           md5((CASE WHEN is_decision THEN n - 2 ELSE n END)::text) AS entity_id
    FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n, LATERAL (SELECT n %% 5 > 2 AS is_decision) AS kind,
         LATERAL (SELECT interval '1 day' + interval '365 days' * (1 - n / %(total)s::float) AS age) AS aged
), receipts AS (
    INSERT INTO kvitto.receipts
        (receipt, provider, topic, event_type, entity_id, outcome, received_at, processed_at, epoch, seq)
    SELECT fresh.receipt, 'kompar', fresh.event_type, fresh.event_type, fresh.entity_id, 'stored', fresh.received_at,
           fresh.received_at + interval '50 ms', '00000000-0000-7000-8000-000000000001', n
    FROM fresh
), bodies AS (
    INSERT INTO kvitto.bodies (receipt, headers, ciphertext)
    SELECT fresh.receipt, template.headers, template.ciphertext FROM fresh, template
), events AS (
    INSERT INTO kvitto.events
        (receipt, provider, event_type, entity_id, received_at, revision, content, digests, field_flags, flags,
         position, changed_at, change)
    SELECT fresh.receipt, 'kompar', fresh.event_type, fresh.entity_id, fresh.received_at, 1,
           jsonb_set(template.content, '{application_id}', to_jsonb(fresh.entity_id)), template.digests,
           template.field_flags, template.flags, coalesce(newest.position, 0) + row_number() OVER (ORDER BY n),
           fresh.received_at, 'new'
    FROM fresh, template, (SELECT max(position) AS position FROM kvitto.feed_positions WHERE provider = 'kompar') AS newest
), positions AS (
    UPDATE kvitto.feed_positions SET position = position + (SELECT count(*) FROM fresh) WHERE provider = 'kompar'
), decisions AS (
    INSERT INTO kvitto.kompar_decisions
        (entity_id, accepted, extra, flags, revision, first_received_at, last_received_at)
    SELECT entity_id, n %% 3 = 0, '{}', '{}', 1, received_at, received_at FROM fresh WHERE is_decision
)
INSERT INTO kvitto.kompar_applications
    (entity_id, name, company_id, company_name, company_type, company_revenue, company_age, amount, duration,
     purpose, guarantor_count, extra, flags, revision, first_received_at, last_received_at)
SELECT fresh.entity_id, name, company_id, company_name, company_type, company_revenue, company_age, amount, duration,
       purpose, guarantor_count, extra, flags, 1, fresh.received_at, fresh.received_at
FROM fresh, model WHERE NOT is_decision
