-- The tutorial's table.
CREATE TABLE applications (
    id             bigserial UNIQUE,
    application_id text PRIMARY KEY,
    content        jsonb NOT NULL,
    received_at    timestamptz NOT NULL
);
