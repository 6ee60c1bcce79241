-- Solaris: the current state of credit lines; overdraft rates and rejected transactions, a row per event.

SET LOCAL search_path = kvitto;

CREATE TABLE solaris_credit_lines (
    entity_id                      text COLLATE "C" PRIMARY KEY,
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
    first_received_at              timestamptz NOT NULL,
    last_received_at               timestamptz NOT NULL
);
CREATE INDEX solaris_credit_lines_by_update ON solaris_credit_lines (last_received_at);

CREATE TABLE solaris_overdraft_rates (
    receipt               uuid PRIMARY KEY,
    entity_id             text COLLATE "C" NOT NULL,
    interest_accrual_rate double precision,
    effective_from        timestamptz,
    received_at           timestamptz NOT NULL,
    flags                 text[] NOT NULL
);
CREATE INDEX solaris_overdraft_rates_by_entity ON solaris_overdraft_rates (entity_id);
CREATE INDEX solaris_overdraft_rates_by_time ON solaris_overdraft_rates (received_at);

CREATE TABLE solaris_rejected_transactions (
    receipt           uuid PRIMARY KEY,
    entity_id         text COLLATE "C" NOT NULL,
    provider_event_id text,
    status            text,
    status_reason     text,
    sender_name       text,
    sender_iban       text,
    person_id         text,
    business_id       text,
    account_id        text,
    extra             jsonb NOT NULL,
    received_at       timestamptz NOT NULL,
    flags             text[] NOT NULL
);
CREATE INDEX solaris_rejected_transactions_by_entity ON solaris_rejected_transactions (entity_id);
CREATE INDEX solaris_rejected_transactions_by_time ON solaris_rejected_transactions (received_at);

GRANT SELECT, INSERT, DELETE ON solaris_credit_lines, solaris_overdraft_rates, solaris_rejected_transactions
    TO kvitto_worker;

CREATE VIEW reporting.solaris_credit_lines AS
SELECT entity_id AS id, credit_line_id, decision, status, status_description, reason, person_id, identification_id,
       mandate_reference_number, recipient_iban, offered_interest_rate, offered_limit_cents, offered_limit_currency,
       net_disposable_income_cents, net_disposable_income_currency, extra,
       flags || CASE WHEN EXISTS (
           SELECT FROM reporting.suspected_late_retries AS suspected
           WHERE provider = 'solaris' AND event_type = 'FREELANCER_CREDIT_LINE_APPLICATION'
             AND suspected.entity_id = solaris_credit_lines.entity_id
       ) THEN '{late-retry-suspected}'::text[] END AS flags,
       revision, first_received_at, last_received_at
FROM solaris_credit_lines;
COMMENT ON VIEW reporting.solaris_credit_lines IS
    'Credit line applications of freelancers at Solaris, current state, one row each.';
COMMENT ON COLUMN reporting.solaris_credit_lines.id IS 'Solaris'' id of the application.';
COMMENT ON COLUMN reporting.solaris_credit_lines.credit_line_id IS
    'Solaris'' id of the credit line, once there is one.';
COMMENT ON COLUMN reporting.solaris_credit_lines.decision IS 'Solaris'' decision: OFFERED, PENDING or REJECTED.';
COMMENT ON COLUMN reporting.solaris_credit_lines.status IS 'Status of the application, in Solaris'' words.';
COMMENT ON COLUMN reporting.solaris_credit_lines.status_description IS 'Solaris'' explanation of the status.';
COMMENT ON COLUMN reporting.solaris_credit_lines.reason IS 'Solaris'' reason for the decision.';
COMMENT ON COLUMN reporting.solaris_credit_lines.person_id IS 'Solaris'' id of the applicant.';
COMMENT ON COLUMN reporting.solaris_credit_lines.identification_id IS
    'Solaris'' id of the applicant''s identification.';
COMMENT ON COLUMN reporting.solaris_credit_lines.mandate_reference_number IS 'Reference of the direct debit mandate.';
COMMENT ON COLUMN reporting.solaris_credit_lines.recipient_iban IS
    'IBAN of the account that the credit line belongs to. Contact data.';
COMMENT ON COLUMN reporting.solaris_credit_lines.offered_interest_rate IS
    'Interest rate offered, as Solaris sends it; Solaris'' pages do not say whether it is a share or per cent.';
COMMENT ON COLUMN reporting.solaris_credit_lines.offered_limit_cents IS
    'Limit offered, in cents (not euros); null if it was sent in another unit. Never that of an offer that was '
    'followed by another decision.';
COMMENT ON COLUMN reporting.solaris_credit_lines.offered_limit_currency IS
    'Currency of the limit offered, as an ISO 4217 code.';
COMMENT ON COLUMN reporting.solaris_credit_lines.net_disposable_income_cents IS
    'Net disposable income, in cents (not euros); null if it was sent in another unit.';
COMMENT ON COLUMN reporting.solaris_credit_lines.net_disposable_income_currency IS
    'Currency of that income, as an ISO 4217 code.';
COMMENT ON COLUMN reporting.solaris_credit_lines.extra IS
    'All keys without a column, as they were sent, national ids masked. May hold contact data.';
COMMENT ON COLUMN reporting.solaris_credit_lines.flags IS 'Quality flags, as slugs: what is doubtful about the values.';
COMMENT ON COLUMN reporting.solaris_credit_lines.revision IS 'Number of the latest revision, from 1.';
COMMENT ON COLUMN reporting.solaris_credit_lines.first_received_at IS
    'Instant at which the first revision was received.';
COMMENT ON COLUMN reporting.solaris_credit_lines.last_received_at IS
    'Instant at which the latest revision was received; repeated deliveries do not change it.';
GRANT SELECT (id, credit_line_id, decision, status, status_description, reason, person_id, identification_id,
              mandate_reference_number, offered_interest_rate, offered_limit_cents, offered_limit_currency,
              net_disposable_income_cents, net_disposable_income_currency, flags, revision, first_received_at,
              last_received_at)
    ON reporting.solaris_credit_lines TO kvitto_analyst;

CREATE VIEW reporting.solaris_overdraft_rates AS
SELECT entity_id AS overdraft_id, interest_accrual_rate, effective_from, received_at, flags
FROM solaris_overdraft_rates;
COMMENT ON VIEW reporting.solaris_overdraft_rates IS 'Every change of the interest rate of an overdraft at Solaris.';
COMMENT ON COLUMN reporting.solaris_overdraft_rates.overdraft_id IS 'Solaris'' id of the overdraft.';
COMMENT ON COLUMN reporting.solaris_overdraft_rates.interest_accrual_rate IS
    'Interest rate a day (not a year), as Solaris sends it.';
COMMENT ON COLUMN reporting.solaris_overdraft_rates.effective_from IS 'Instant from which the rate holds.';
COMMENT ON COLUMN reporting.solaris_overdraft_rates.received_at IS 'Instant at which the delivery was made durable.';
COMMENT ON COLUMN reporting.solaris_overdraft_rates.flags IS 'Quality flags, as slugs: what is doubtful about the values.';
GRANT SELECT ON reporting.solaris_overdraft_rates TO kvitto_analyst;

CREATE VIEW reporting.solaris_rejected_transactions AS
SELECT coalesce(provider_event_id, receipt::text) AS event_id, status, status_reason, sender_name, sender_iban,
       person_id, business_id, account_id, extra, received_at, flags
FROM solaris_rejected_transactions;
COMMENT ON VIEW reporting.solaris_rejected_transactions IS 'Every incoming transaction that Solaris rejected.';
COMMENT ON COLUMN reporting.solaris_rejected_transactions.event_id IS
    'Solaris'' id of the notification, or else the receipt id.';
COMMENT ON COLUMN reporting.solaris_rejected_transactions.status IS 'Status of the transaction, in Solaris'' words.';
COMMENT ON COLUMN reporting.solaris_rejected_transactions.status_reason IS 'Solaris'' reason for the rejection.';
COMMENT ON COLUMN reporting.solaris_rejected_transactions.sender_name IS 'Name of who sent the money. Contact data.';
COMMENT ON COLUMN reporting.solaris_rejected_transactions.sender_iban IS 'IBAN of who sent the money. Contact data.';
COMMENT ON COLUMN reporting.solaris_rejected_transactions.person_id IS
    'Solaris'' id of the account''s holder, a person.';
COMMENT ON COLUMN reporting.solaris_rejected_transactions.business_id IS
    'Solaris'' id of the account''s holder, a business.';
COMMENT ON COLUMN reporting.solaris_rejected_transactions.account_id IS 'Solaris'' id of the account.';
COMMENT ON COLUMN reporting.solaris_rejected_transactions.extra IS
    'All keys without a column, as they were sent, national ids masked; the whole content if its shape is unknown. '
    'May hold contact data.';
COMMENT ON COLUMN reporting.solaris_rejected_transactions.received_at IS
    'Instant at which the delivery was made durable; not when the transaction was rejected.';
COMMENT ON COLUMN reporting.solaris_rejected_transactions.flags IS
    'Quality flags, as slugs: what is doubtful about the values.';
GRANT SELECT (event_id, status, status_reason, person_id, business_id, account_id, received_at, flags)
    ON reporting.solaris_rejected_transactions TO kvitto_analyst;
