-- Fills the ledger with deliveries %(first)s to %(last)s of %(total)s, spread over a year up to a minute ago: copies of an
-- application that was received. Of a hundred, 52 are applications, 40 decisions, 4 duplicates, 2 later revisions and 2
-- of another provider; of a thousand, 4 are or were dead letters. Flags are frequent, rare, or of the first days alone.
WITH template AS MATERIALIZED (
    SELECT headers, ciphertext, content, digests, field_flags FROM kvitto.receipts
    JOIN kvitto.bodies USING (receipt) JOIN kvitto.events USING (receipt)
    WHERE kvitto.receipts.provider = 'kompar' AND kvitto.receipts.outcome = 'stored'
    ORDER BY kvitto.receipts.receipt DESC LIMIT 1
), model AS (
    SELECT * FROM kvitto.kompar_applications ORDER BY first_received_at DESC LIMIT 1
), kinds AS (
    SELECT n, CASE WHEN n %% 25 = 10 THEN 'duplicate' WHEN n %% 50 = 15 THEN 'revision' WHEN n %% 1000 = 5 THEN 'dead'
                   WHEN n %% 1000 = 255 THEN 'discarded' WHEN n %% 40 = 20 THEN 'solaris'
                   WHEN n %% 5 > 2 THEN 'decision' ELSE 'application' END AS kind
    FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
), fresh AS MATERIALIZED (
    SELECT n, kind, (left(kvitto.first_receipt(at)::text, 13) || substr(md5(n::text), 1, 20))::uuid AS receipt, at,
           CASE kind WHEN 'solaris' THEN 'solaris' ELSE 'kompar' END AS provider,
           CASE kind WHEN 'solaris' THEN 'INCOMING_REJECTED_TRANSACTION' WHEN 'decision' THEN 'decisions'
                     ELSE 'applications' END AS topic,
           CASE kind WHEN 'duplicate' THEN 'duplicate' WHEN 'dead' THEN 'dead' WHEN 'discarded' THEN 'discarded'
                     ELSE 'stored' END AS outcome,
           CASE WHEN kind IN ('dead', 'discarded')
                THEN (ARRAY['wrong-key', 'invalid', 'not-json', 'missing-id'])[1 + n / 1000 %% 4]
                WHEN kind = 'duplicate' AND n %% 1000 = 10 THEN 'late-retry' END AS reason,
           md5(entity::text) AS entity_id, entity,
           CASE WHEN n %% 50 = 1 THEN '{unknown-purpose}' WHEN n %% 500 = 11 THEN '{company-id-checksum}'
                WHEN n %% 50000 = 21 THEN '{ssn-checksum}' WHEN n <= 1000 AND n %% 10 = 6 THEN '{duplicate-key}'
                ELSE '{}' END::text[] AS flags
    FROM kinds,
         LATERAL (SELECT CASE kind WHEN 'decision' THEN n - 2 WHEN 'duplicate' THEN n - 9 WHEN 'revision' THEN n - 14
                                   ELSE n END AS entity) AS about,
         LATERAL (SELECT date_trunc('milliseconds', now() - interval '1 minute'
                                    - interval '365 days' * (1 - n / %(total)s::float)) AS at) AS aged
), receipts AS (
    INSERT INTO kvitto.receipts
        (receipt, provider, topic, event_type, entity_id, outcome, reason, received_at, processed_at, epoch, seq)
    SELECT receipt, provider, topic, CASE WHEN kind NOT IN ('dead', 'discarded') THEN topic END,
           CASE WHEN kind NOT IN ('dead', 'discarded') THEN entity_id END, outcome::kvitto.outcome, reason, at,
           at + interval '50 ms', '00000000-0000-7000-8000-000000000001', n
    FROM fresh
), bodies AS (
    INSERT INTO kvitto.bodies (receipt, headers, ciphertext)
    SELECT receipt, template.headers, template.ciphertext FROM fresh, template
), answers AS (
    INSERT INTO kvitto.answers (receipt, milliseconds, complete) SELECT receipt, 3, true FROM fresh
), dead_letters AS (
    INSERT INTO kvitto.dead_letters (receipt, reason, detail, discarded_at, replayed_at)
    SELECT receipt, coalesce(reason, 'wrong-key'), 'does not open with any of the keys a, b',
           CASE kind WHEN 'discarded' THEN at END, CASE WHEN outcome = 'stored' THEN at END
    FROM fresh WHERE kind IN ('dead', 'discarded') OR n %% 500 = 5
), events AS (
    INSERT INTO kvitto.events
        (receipt, provider, event_type, entity_id, received_at, revision, reason, content, digests, persons,
         field_flags, flags, retry_of, position, changed_at, change)
    SELECT receipt, provider, topic, entity_id, at,
           CASE kind WHEN 'revision' THEN 2 WHEN 'duplicate' THEN NULL ELSE 1 END, reason,
           jsonb_set(template.content, '{application_id}', to_jsonb(entity_id)), template.digests,
           ARRAY[md5('person' || entity / 8)::uuid], template.field_flags, flags,
           CASE WHEN reason = 'late-retry' THEN ARRAY[receipt] END,
           CASE WHEN kind <> 'duplicate'
                THEN coalesce(newest.position, 0) + row_number() OVER (PARTITION BY fresh.provider ORDER BY n) END,
           CASE WHEN kind <> 'duplicate' THEN at END,
           CASE WHEN kind <> 'duplicate' THEN 'new'::kvitto.feed_change END
    FROM template, fresh LEFT JOIN kvitto.feed_positions AS newest USING (provider)
    WHERE kind NOT IN ('dead', 'discarded')
), positions AS (
    INSERT INTO kvitto.feed_positions AS kept (provider, position) SELECT provider, count(*) FROM fresh GROUP BY provider
    ON CONFLICT (provider) DO UPDATE SET position = kept.position + excluded.position
), decisions AS (
    INSERT INTO kvitto.kompar_decisions
        (entity_id, accepted, extra, flags, revision, first_received_at, last_received_at)
    SELECT entity_id, n %% 3 = 0, '{}', flags, 1, at, at FROM fresh WHERE kind = 'decision'
)
INSERT INTO kvitto.kompar_applications
    (entity_id, name, company_id, company_name, company_type, company_revenue, company_age, amount, duration,
     purpose, guarantor_count, extra, flags, revision, first_received_at, last_received_at, person_key, company_key)
SELECT fresh.entity_id, name, company_id, company_name, (ARRAY['AB', 'HB', 'EF'])[1 + n %% 3], company_revenue,
       company_age, 1000 * (n %% 500), duration, 'Purpose ' || n %% 12, guarantor_count, extra, fresh.flags,
       1 + (n %% 50 = 1)::int, fresh.at, fresh.at, md5('person' || entity / 8)::uuid,
       md5('company' || CASE WHEN n %% 5000 = 1 THEN 0 ELSE entity / 20 END)::uuid
FROM fresh, model WHERE kind = 'application'
