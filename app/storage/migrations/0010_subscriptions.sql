-- What providers were asked to deliver where, by whom and when. A row is written before the provider is asked, and
-- settled by its answer: one that stays `asked` or `removing` is what a crash, or a lost answer, left in doubt.

SET LOCAL search_path = kvitto;

CREATE TABLE subscriptions (
    id                 uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    provider           text NOT NULL,
    topic              text NOT NULL,
    url                text NOT NULL,
    api_url            text NOT NULL,
    reference          text,  -- the provider's own id, if it gives one; its secret is kept elsewhere
    operator           text NOT NULL,
    role               text NOT NULL DEFAULT session_user,
    asked_at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    registered_at      timestamptz,
    refused_at         timestamptz,
    reason             text,
    removal_operator   text,
    removal_asked_at   timestamptz,
    removed_at         timestamptz,
    state              text NOT NULL GENERATED ALWAYS AS (
        CASE WHEN removed_at IS NOT NULL THEN 'removed'
             WHEN refused_at IS NOT NULL THEN 'refused'
             WHEN removal_asked_at IS NOT NULL THEN 'removing'
             WHEN registered_at IS NOT NULL THEN 'registered'
             ELSE 'asked' END
    ) STORED
);

REVOKE ALL ON subscriptions FROM kvitto_worker;
GRANT SELECT, INSERT (provider, topic, url, api_url, operator) ON subscriptions TO kvitto_worker;
GRANT UPDATE (reference, registered_at, refused_at, reason, removal_operator, removal_asked_at, removed_at)
    ON subscriptions TO kvitto_worker;
