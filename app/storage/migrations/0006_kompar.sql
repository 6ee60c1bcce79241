-- Kompar: the current state of applications and decisions, a row per entity.

SET LOCAL search_path = kvitto;

CREATE TABLE kompar_applications (
    entity_id       text PRIMARY KEY,
    name            text,
    company_id      text,
    company_name    text,
    company_type    text,
    company_revenue double precision,
    company_age     double precision,
    amount          bigint,
    duration        bigint,
    purpose         text,
    guarantor_count integer,
    extra           jsonb NOT NULL,
    flags           text[] NOT NULL,
    revision        integer NOT NULL,
    received_at     timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL
);
CREATE INDEX kompar_applications_by_update ON kompar_applications (updated_at);
CREATE INDEX kompar_applications_by_time ON kompar_applications (received_at) INCLUDE (purpose, amount);

CREATE TABLE kompar_decisions (
    entity_id   text PRIMARY KEY,
    accepted    boolean,
    phone       text,
    email       text,
    offer_id    text,
    extra       jsonb NOT NULL,
    flags       text[] NOT NULL,
    revision    integer NOT NULL,
    received_at timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL
);
CREATE INDEX kompar_decisions_by_update ON kompar_decisions (updated_at);

GRANT SELECT, INSERT, DELETE ON kompar_applications, kompar_decisions TO kvitto_worker;

CREATE VIEW reporting.kompar_applications AS
SELECT entity_id AS application_id, name, company_id, company_name, company_type, company_revenue, company_age,
       amount, duration, purpose, guarantor_count, extra, flags, revision, received_at, updated_at
FROM kompar_applications;
COMMENT ON VIEW reporting.kompar_applications IS 'Loan applications from Kompar, current state.';
COMMENT ON COLUMN reporting.kompar_applications.application_id IS 'Kompar''s id of the application.';
COMMENT ON COLUMN reporting.kompar_applications.name IS 'Name of the applicant.';
COMMENT ON COLUMN reporting.kompar_applications.company_id IS 'Organisation number as NNNNNN-NNNN; NNNNNN-**** where it may be a sole trader''s national id.';
COMMENT ON COLUMN reporting.kompar_applications.company_name IS 'Name of the company.';
COMMENT ON COLUMN reporting.kompar_applications.company_type IS 'Legal form of the company, abbreviated where it is a known one: AB, HB, KB, EF, EK.';
COMMENT ON COLUMN reporting.kompar_applications.company_revenue IS 'Monthly revenue, in kronor.';
COMMENT ON COLUMN reporting.kompar_applications.company_age IS 'Age of the company, in years.';
COMMENT ON COLUMN reporting.kompar_applications.amount IS 'Amount applied for, in kronor.';
COMMENT ON COLUMN reporting.kompar_applications.duration IS 'Duration of the loan, in months.';
COMMENT ON COLUMN reporting.kompar_applications.purpose IS 'Purpose of the loan: as Kompar''s list has it, or another text in NFC.';
COMMENT ON COLUMN reporting.kompar_applications.guarantor_count IS 'Number of guarantors; null if not stated.';
COMMENT ON COLUMN reporting.kompar_applications.extra IS 'All other keys as they were sent, national ids masked.';
COMMENT ON COLUMN reporting.kompar_applications.flags IS 'Quality flags, as slugs: what is doubtful about the values.';
COMMENT ON COLUMN reporting.kompar_applications.revision IS 'Number of the latest revision, from 1.';
COMMENT ON COLUMN reporting.kompar_applications.received_at IS 'When the first revision was received.';
COMMENT ON COLUMN reporting.kompar_applications.updated_at IS 'When the latest revision was received.';

CREATE VIEW reporting.kompar_decisions AS
SELECT entity_id AS application_id, accepted, phone, email, offer_id, extra, flags, revision, received_at, updated_at
FROM kompar_decisions;
COMMENT ON VIEW reporting.kompar_decisions IS 'Clients'' answers to offers, from Kompar, current state.';
COMMENT ON COLUMN reporting.kompar_decisions.application_id IS 'Kompar''s id of the application.';
COMMENT ON COLUMN reporting.kompar_decisions.accepted IS 'Whether the client accepted the offer.';
COMMENT ON COLUMN reporting.kompar_decisions.phone IS 'Phone number of the client.';
COMMENT ON COLUMN reporting.kompar_decisions.email IS 'E-mail address of the client.';
COMMENT ON COLUMN reporting.kompar_decisions.offer_id IS 'The lender''s id of the offer.';
COMMENT ON COLUMN reporting.kompar_decisions.extra IS 'All other keys as they were sent, national ids masked.';
COMMENT ON COLUMN reporting.kompar_decisions.flags IS 'Quality flags, as slugs: what is doubtful about the values.';
COMMENT ON COLUMN reporting.kompar_decisions.revision IS 'Number of the latest revision, from 1.';
COMMENT ON COLUMN reporting.kompar_decisions.received_at IS 'When the first revision was received.';
COMMENT ON COLUMN reporting.kompar_decisions.updated_at IS 'When the latest revision was received.';
