-- Kompar's current state, a row per entity.

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
