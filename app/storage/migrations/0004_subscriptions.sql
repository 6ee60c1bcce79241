-- Which provider was asked to deliver what to which address, and when; access_log has who asked. A row is written before
-- the call and completed after its answer: `pending` or `deleting` is left by a crash or a lost answer.

SET LOCAL search_path = kvitto;

CREATE TABLE subscriptions (
    id                    uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    provider              text NOT NULL,
    topic                 text NOT NULL,
    url                   text NOT NULL,
    api_url               text NOT NULL,
    reference             text,  -- the provider's own id, if it gives one; its secret is kept elsewhere
    requested_at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    activated_at          timestamptz,
    failed_at             timestamptz,
    reason                text,
    deletion_requested_at timestamptz,
    deleted_at            timestamptz,
    state                 text NOT NULL GENERATED ALWAYS AS (
        CASE WHEN deleted_at IS NOT NULL THEN 'deleted'
             WHEN failed_at IS NOT NULL THEN 'failed'
             WHEN deletion_requested_at IS NOT NULL THEN 'deleting'
             WHEN activated_at IS NOT NULL THEN 'active'
             ELSE 'pending' END
    ) STORED
);
GRANT SELECT, INSERT (provider, topic, url, api_url) ON subscriptions TO kvitto_worker;
GRANT UPDATE (reference, activated_at, failed_at, reason, deletion_requested_at, deleted_at) ON subscriptions
    TO kvitto_worker;
