-- Kompar: the current state of applications and decisions, a row per entity.

SET LOCAL search_path = kvitto;

CREATE TABLE kompar_applications (
    entity_id                 text COLLATE "C" PRIMARY KEY,
    name                      text,
    company_id                text,
    company_name              text,
    company_type              text,
    company_revenue           numeric,
    company_age               double precision,
    amount                    bigint,
    duration                  bigint,
    purpose                   text,
    guarantor_count           integer,
    extra                     jsonb NOT NULL,
    flags                     text[] NOT NULL,
    revision                  integer NOT NULL,
    first_received_at         timestamptz NOT NULL,
    last_received_at          timestamptz NOT NULL,
    company_last_year_revenue numeric,
    company_description       text,
    attachments               text[],
    description_of_property   text,
    person_key                text COLLATE "C",
    company_key               text COLLATE "C"
);
CREATE INDEX kompar_applications_by_update ON kompar_applications (last_received_at);
CREATE INDEX kompar_applications_by_time ON kompar_applications (first_received_at) INCLUDE (purpose, amount, company_type, revision);
-- Few applications have flags: reporting.kompar_application_flags reads no others.
CREATE INDEX kompar_applications_with_flags ON kompar_applications (first_received_at) INCLUDE (entity_id, flags)
    WHERE flags <> '{}';
CREATE INDEX kompar_applications_by_person ON kompar_applications (person_key);
CREATE INDEX kompar_applications_by_company ON kompar_applications (company_key);

CREATE TABLE kompar_decisions (
    entity_id         text COLLATE "C" PRIMARY KEY,
    accepted          boolean,
    phone             text,
    email             text,
    offer_id          text,
    extra             jsonb NOT NULL,
    flags             text[] NOT NULL,
    revision          integer NOT NULL,
    first_received_at timestamptz NOT NULL,
    last_received_at  timestamptz NOT NULL,
    person_key        text COLLATE "C"
);
CREATE INDEX kompar_decisions_by_update ON kompar_decisions (last_received_at);
CREATE INDEX kompar_decisions_by_time ON kompar_decisions (first_received_at) INCLUDE (entity_id, accepted);

GRANT SELECT, INSERT, DELETE ON kompar_applications, kompar_decisions TO kvitto_worker;

-- A row is flagged from the moment that makes a late retry suspect, which may be after the last revision: when ingest
-- reports how it answered. So this flag is not stored.
CREATE VIEW reporting.kompar_applications AS
SELECT entity_id AS application_id, name, company_id, company_name, company_type, company_revenue, company_age,
       amount, duration, purpose, guarantor_count, extra,
       flags || CASE WHEN EXISTS (
           SELECT FROM reporting.suspected_late_retries AS suspected
           WHERE provider = 'kompar' AND event_type = 'applications'
             AND suspected.entity_id = kompar_applications.entity_id
       ) THEN '{late-retry-suspected}'::text[] END AS flags,
       revision, first_received_at, last_received_at, company_last_year_revenue, company_description, attachments,
       description_of_property, person_key, company_key
FROM kompar_applications;
COMMENT ON VIEW reporting.kompar_applications IS
    'Loan applications from Kompar, current state, one row each. Applications that are dead letters are not here.';
COMMENT ON COLUMN reporting.kompar_applications.application_id IS 'Kompar''s id of the application; opaque text.';
COMMENT ON COLUMN reporting.kompar_applications.name IS 'Name of the applicant, a person. Contact data.';
COMMENT ON COLUMN reporting.kompar_applications.company_id IS 'Organisation number as NNNNNN-NNNN; NNNNNN-**** where it may be a sole trader''s national id.';
COMMENT ON COLUMN reporting.kompar_applications.company_name IS
    'Name of the company; for a sole trader often the name of a person. Contact data.';
COMMENT ON COLUMN reporting.kompar_applications.company_type IS 'Legal form of the company, abbreviated where it is a known one: AB, HB, KB, EF, EK.';
COMMENT ON COLUMN reporting.kompar_applications.company_revenue IS
    'Revenue a month, in kronor (not öre, not a year), as the applicant states it; null if not stated.';
COMMENT ON COLUMN reporting.kompar_applications.company_age IS 'Age of the company, in years; null if not stated.';
COMMENT ON COLUMN reporting.kompar_applications.amount IS
    'Amount applied for, in kronor (not öre); not what was offered or paid out.';
COMMENT ON COLUMN reporting.kompar_applications.duration IS 'Duration of the loan applied for, in months.';
COMMENT ON COLUMN reporting.kompar_applications.purpose IS 'Purpose of the loan: as Kompar''s list has it, or another text in NFC.';
COMMENT ON COLUMN reporting.kompar_applications.guarantor_count IS 'Number of guarantors; null if not stated.';
COMMENT ON COLUMN reporting.kompar_applications.extra IS
    'All keys without a column, as they were sent, national ids masked. May hold contact data.';
COMMENT ON COLUMN reporting.kompar_applications.flags IS 'Quality flags, as slugs: what is doubtful about the values.';
COMMENT ON COLUMN reporting.kompar_applications.revision IS
    'Number of the latest revision, from 1: how often the application was changed, not how often it was delivered.';
COMMENT ON COLUMN reporting.kompar_applications.first_received_at IS
    'Instant at which the first revision was received: when the application was made, to a few seconds. A Swedish day '
    'is first_received_at AT TIME ZONE ''Europe/Stockholm''.';
COMMENT ON COLUMN reporting.kompar_applications.last_received_at IS
    'Instant at which the latest revision was received; repeated deliveries do not change it.';
COMMENT ON COLUMN reporting.kompar_applications.company_last_year_revenue IS
    'Revenue of the last year, in kronor; null unless agreed with Kompar.';
COMMENT ON COLUMN reporting.kompar_applications.company_description IS
    'The company in the applicant''s words, national ids masked; null unless agreed with Kompar. May hold contact data.';
COMMENT ON COLUMN reporting.kompar_applications.attachments IS
    'Attachments as Kompar names them; null unless agreed with Kompar. May hold contact data.';
COMMENT ON COLUMN reporting.kompar_applications.description_of_property IS
    'The property in the applicant''s words; null unless agreed with Kompar. May hold contact data.';
COMMENT ON COLUMN reporting.kompar_applications.person_key IS
    'Keyed pseudonym of the applicant''s national id: the same for every application of one person. It shows nothing '
    'of the id; null if the id is missing or has another form.';
COMMENT ON COLUMN reporting.kompar_applications.company_key IS
    'Keyed pseudonym of company_id: the same for every application of one company. A sole trader''s is the owner''s '
    'person_key.';
GRANT SELECT (application_id, company_id, company_type, company_revenue, company_age, amount, duration, purpose,
              guarantor_count, flags, revision, first_received_at, last_received_at, company_last_year_revenue,
              person_key, company_key)
    ON reporting.kompar_applications TO kvitto_analyst;

CREATE VIEW reporting.kompar_application_flags AS
SELECT entity_id AS application_id, flag, first_received_at
FROM kompar_applications CROSS JOIN LATERAL unnest(flags) AS flag
WHERE flags <> '{}'
UNION ALL
SELECT DISTINCT entity_id, 'late-retry-suspected', first_received_at
FROM reporting.suspected_late_retries JOIN kompar_applications USING (entity_id)
WHERE provider = 'kompar' AND event_type = 'applications';
COMMENT ON VIEW reporting.kompar_application_flags IS
    'Quality flags of loan applications, one row per flag: the column flags of kompar_applications, quick to count.';
COMMENT ON COLUMN reporting.kompar_application_flags.application_id IS 'Kompar''s id of the application; opaque text.';
COMMENT ON COLUMN reporting.kompar_application_flags.flag IS 'Quality flag, a slug: what is doubtful about a value.';
COMMENT ON COLUMN reporting.kompar_application_flags.first_received_at IS
    'Instant at which the first revision of the application was received.';
GRANT SELECT ON reporting.kompar_application_flags TO kvitto_analyst;

CREATE VIEW reporting.kompar_decisions AS
SELECT entity_id AS application_id, accepted, phone, email, offer_id, extra,
       flags || CASE WHEN EXISTS (
           SELECT FROM reporting.suspected_late_retries AS suspected
           WHERE provider = 'kompar' AND event_type = 'decisions'
             AND suspected.entity_id = kompar_decisions.entity_id
       ) THEN '{late-retry-suspected}'::text[] END AS flags,
       revision, first_received_at, last_received_at, person_key
FROM kompar_decisions;
COMMENT ON VIEW reporting.kompar_decisions IS
    'Clients'' answers to offers, from Kompar, current state, one row per application. Not the lender''s decisions.';
COMMENT ON COLUMN reporting.kompar_decisions.application_id IS 'Kompar''s id of the application; opaque text.';
COMMENT ON COLUMN reporting.kompar_decisions.accepted IS
    'Whether the client accepts the offer, by the client''s last word; null if not stated.';
COMMENT ON COLUMN reporting.kompar_decisions.phone IS 'Phone number of the client. Contact data.';
COMMENT ON COLUMN reporting.kompar_decisions.email IS 'E-mail address of the client. Contact data.';
COMMENT ON COLUMN reporting.kompar_decisions.offer_id IS
    'The lender''s id of the offer; never that of an acceptance which the client took back.';
COMMENT ON COLUMN reporting.kompar_decisions.extra IS
    'All keys without a column, as they were sent, national ids masked. May hold contact data.';
COMMENT ON COLUMN reporting.kompar_decisions.flags IS
    'Quality flags, as slugs; late-retry-suspected: the client may have changed back, see suspected_late_retries.';
COMMENT ON COLUMN reporting.kompar_decisions.revision IS
    'Number of the latest revision, from 1: how often the answer was changed, not how often it was delivered.';
COMMENT ON COLUMN reporting.kompar_decisions.first_received_at IS 'Instant at which the first revision was received.';
COMMENT ON COLUMN reporting.kompar_decisions.last_received_at IS
    'Instant at which the latest revision was received; repeated deliveries do not change it.';
COMMENT ON COLUMN reporting.kompar_decisions.person_key IS
    'Keyed pseudonym of the client''s national id, as in kompar_applications; null if the decision holds none.';
GRANT SELECT (application_id, accepted, offer_id, flags, revision, first_received_at, last_received_at, person_key)
    ON reporting.kompar_decisions TO kvitto_analyst;

-- What is read of events is a subquery: it costs nothing unless that column is asked for.
CREATE VIEW reporting.kompar_funnel AS
SELECT coalesce(application.entity_id, decision.entity_id) AS application_id,
       application.first_received_at AS applied_at,
       decision.first_received_at AS first_decided_at,
       (
           SELECT CASE content -> 'accepted' WHEN 'true' THEN true WHEN 'false' THEN false END FROM events
           WHERE provider = 'kompar' AND event_type = 'decisions' AND entity_id = decision.entity_id AND revision = 1
       ) AS first_accepted,
       decision.last_received_at AS last_decided_at,
       decision.accepted AS last_accepted,
       decision.first_received_at - application.first_received_at AS time_to_first_decision,
       decision.last_received_at - application.first_received_at AS time_to_last_decision,
       decision.revision AS decision_revisions,
       application.amount, application.duration, application.purpose, application.company_type,
       coalesce(application.person_key, decision.person_key) AS person_key,
       application.company_key
FROM kompar_applications AS application
FULL JOIN kompar_decisions AS decision ON decision.entity_id = application.entity_id;
COMMENT ON VIEW reporting.kompar_funnel IS
    'From application to first and last decision of the client, one row per application. A decision whose application '
    'is not in the ledger has a row too, with applied_at null.';
COMMENT ON COLUMN reporting.kompar_funnel.application_id IS 'Kompar''s id of the application; opaque text.';
COMMENT ON COLUMN reporting.kompar_funnel.applied_at IS
    'Instant at which the application was first received; null if only a decision was received.';
COMMENT ON COLUMN reporting.kompar_funnel.first_decided_at IS
    'Instant at which the first decision was received; null if there is none yet.';
COMMENT ON COLUMN reporting.kompar_funnel.first_accepted IS
    'Whether the client accepted in the first decision; null if there is none, or if it does not say.';
COMMENT ON COLUMN reporting.kompar_funnel.last_decided_at IS
    'Instant at which the latest revision of the decision was received; the same as the first if it never changed.';
COMMENT ON COLUMN reporting.kompar_funnel.last_accepted IS
    'Whether the client accepts, by the client''s last word; null if there is no decision, or if it does not say.';
COMMENT ON COLUMN reporting.kompar_funnel.time_to_first_decision IS
    'Interval from applied_at to first_decided_at; negative if the decision was received first.';
COMMENT ON COLUMN reporting.kompar_funnel.time_to_last_decision IS 'Interval from applied_at to last_decided_at.';
COMMENT ON COLUMN reporting.kompar_funnel.decision_revisions IS
    'Number of revisions of the decision; null if there is none. Above 1: the client changed something.';
COMMENT ON COLUMN reporting.kompar_funnel.amount IS 'Amount applied for, in kronor (not öre).';
COMMENT ON COLUMN reporting.kompar_funnel.duration IS 'Duration of the loan applied for, in months.';
COMMENT ON COLUMN reporting.kompar_funnel.purpose IS 'Purpose of the loan, in Kompar''s words.';
COMMENT ON COLUMN reporting.kompar_funnel.company_type IS 'Legal form of the company.';
COMMENT ON COLUMN reporting.kompar_funnel.person_key IS
    'Keyed pseudonym of the applicant, as in kompar_applications; else of the client of the decision.';
COMMENT ON COLUMN reporting.kompar_funnel.company_key IS 'Keyed pseudonym of the company, as in kompar_applications.';
GRANT SELECT ON reporting.kompar_funnel TO kvitto_analyst;
