-- Solaris: credit lines as they stand, overdraft rates and rejected transactions as they came.

SET LOCAL search_path = kvitto;

CREATE TABLE solaris_credit_lines (
    entity_id                      text PRIMARY KEY,
    credit_line_id                 text,
    decision                       text,
    status                         text,
    status_description             text,
    reason                         text,
    person_id                      text,
    identification_id              text,
    mandate_reference_number       text,
    recipient_iban                 text,
    offered_interest_rate          double precision,
    offered_limit_cents            bigint,
    offered_limit_currency         text,
    net_disposable_income_cents    bigint,
    net_disposable_income_currency text,
    extra                          jsonb NOT NULL,
    flags                          text[] NOT NULL,
    revision                       integer NOT NULL,
    received_at                    timestamptz NOT NULL,
    updated_at                     timestamptz NOT NULL
);

CREATE TABLE solaris_overdraft_rates (
    receipt               uuid PRIMARY KEY,
    entity_id             text NOT NULL,
    interest_accrual_rate double precision NOT NULL,
    effective_from        timestamptz NOT NULL,
    received_at           timestamptz NOT NULL
);
CREATE INDEX solaris_overdraft_rates_by_entity ON solaris_overdraft_rates (entity_id);

CREATE TABLE solaris_rejected_transactions (
    receipt       uuid PRIMARY KEY,
    entity_id     text NOT NULL,
    identity      text,
    status        text,
    status_reason text,
    sender_name   text,
    sender_iban   text,
    person_id     text,
    business_id   text,
    account_id    text,
    extra         jsonb NOT NULL,
    received_at   timestamptz NOT NULL
);
CREATE INDEX solaris_rejected_transactions_by_entity ON solaris_rejected_transactions (entity_id);

CREATE VIEW reporting.solaris_credit_lines AS
SELECT entity_id AS id, credit_line_id, decision, status, status_description, reason, person_id, identification_id,
       mandate_reference_number, recipient_iban, offered_interest_rate, offered_limit_cents, offered_limit_currency,
       net_disposable_income_cents, net_disposable_income_currency, extra, flags, revision, received_at, updated_at
FROM solaris_credit_lines;

CREATE VIEW reporting.solaris_overdraft_rates AS
SELECT entity_id AS overdraft_id, interest_accrual_rate, effective_from, received_at
FROM solaris_overdraft_rates;

CREATE VIEW reporting.solaris_rejected_transactions AS
SELECT coalesce(identity, receipt::text) AS event_id, status, status_reason, sender_name, sender_iban, person_id,
       business_id, account_id, extra, received_at
FROM solaris_rejected_transactions;
