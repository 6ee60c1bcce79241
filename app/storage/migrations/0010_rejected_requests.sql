-- Requests that ingest rejected: their counts, and for some days the requests themselves, sealed. If the fault was ours,
-- such as a wrong token in our settings, those that verify afterwards are readmitted.

SET LOCAL search_path = kvitto;

CREATE TABLE rejected_counts (
    minute   timestamptz NOT NULL,
    provider text COLLATE "C" NOT NULL,
    reason   text COLLATE "C" NOT NULL,
    client   text COLLATE "C" NOT NULL,
    requests bigint NOT NULL,
    PRIMARY KEY (minute, provider, reason, client)
);
GRANT SELECT, INSERT, UPDATE ON rejected_counts TO kvitto_ingest;
GRANT SELECT ON rejected_counts TO kvitto_worker;

CREATE TABLE rejected_requests (
    receipt       uuid PRIMARY KEY,  -- the receipt that it gets if it is readmitted
    provider      text COLLATE "C" NOT NULL,
    reason        text COLLATE "C" NOT NULL,
    client        text COLLATE "C" NOT NULL,
    received_at   timestamptz NOT NULL,
    retried_until timestamptz NOT NULL,  -- when the provider gives up, if this was its first try
    size          integer NOT NULL,
    request       bytea,                 -- the whole request, sealed; null once it is readmitted
    readmitted_at timestamptz
);
ALTER TABLE rejected_requests ALTER COLUMN request SET STORAGE EXTERNAL;  -- ciphertext does not compress
CREATE INDEX rejected_requests_by_time ON rejected_requests (received_at);
GRANT INSERT ON rejected_requests TO kvitto_ingest;
GRANT SELECT, UPDATE (request, readmitted_at) ON rejected_requests TO kvitto_worker;

-- Deletes what is older than `days`, then what is beyond a provider's share. The clients take turns, newest first, so
-- that a flood from one address displaces its own requests only.
CREATE FUNCTION trim_rejected_requests(days integer, max_requests bigint, max_bytes bigint) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = kvitto, pg_temp
AS $$
    DELETE FROM rejected_counts WHERE minute < clock_timestamp() - make_interval(days => days);
    DELETE FROM rejected_requests WHERE received_at < clock_timestamp() - make_interval(days => days);
    WITH turn AS (
        SELECT receipt, provider, size, received_at,
               row_number() OVER (PARTITION BY provider, client ORDER BY received_at DESC) AS turn
        FROM rejected_requests
    ), placed AS (
        SELECT receipt, row_number() OVER w AS place, sum(size) OVER w AS bytes
        FROM turn WINDOW w AS (PARTITION BY provider ORDER BY turn, received_at DESC, receipt)
    )
    DELETE FROM rejected_requests USING placed
    WHERE rejected_requests.receipt = placed.receipt AND (place > max_requests OR bytes > max_bytes);
$$;
REVOKE EXECUTE ON FUNCTION trim_rejected_requests FROM PUBLIC;
GRANT EXECUTE ON FUNCTION trim_rejected_requests TO kvitto_ingest;

-- Readmits a rejected request: its delivery waits in the overflow, under its original time of receipt. False if that
-- happened before.
CREATE FUNCTION readmit(
    of_receipt uuid, of_provider text, of_topic text, of_headers jsonb, of_ciphertext bytea
) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = kvitto, pg_temp
AS $$
    WITH rejected AS (
        UPDATE rejected_requests SET request = NULL, readmitted_at = clock_timestamp()
        WHERE receipt = of_receipt AND provider = of_provider AND readmitted_at IS NULL
        RETURNING received_at
    ), readmitted AS (
        INSERT INTO overflow (receipt, provider, topic, headers, ciphertext, received_at)
        SELECT of_receipt, of_provider, of_topic, of_headers, of_ciphertext, received_at FROM rejected
        RETURNING receipt
    )
    SELECT EXISTS (SELECT FROM readmitted)
$$;
REVOKE EXECUTE ON FUNCTION readmit FROM PUBLIC;
GRANT EXECUTE ON FUNCTION readmit TO kvitto_worker;

CREATE VIEW reporting.rejected_requests AS
SELECT minute, provider, reason, client, requests FROM rejected_counts;
COMMENT ON VIEW reporting.rejected_requests IS
    'Requests that were not authentic, or that named no topic of the provider, one row per minute, reason and client.';
COMMENT ON COLUMN reporting.rejected_requests.minute IS 'Instant at which the minute began.';
COMMENT ON COLUMN reporting.rejected_requests.provider IS 'The provider whose URL was requested.';
COMMENT ON COLUMN reporting.rejected_requests.reason IS 'Why, as a slug: wrong-token, wrong-signature, not-found, …';
COMMENT ON COLUMN reporting.rejected_requests.client IS
    'IP address of the client, as TRUSTED_PROXIES names it; other for the rest where there were too many.';
COMMENT ON COLUMN reporting.rejected_requests.requests IS 'Number of requests.';
GRANT SELECT ON reporting.rejected_requests TO kvitto_analyst;

CREATE VIEW reporting.rejections AS
SELECT provider, reason, count(*) AS requests, count(*) FILTER (WHERE readmitted_at IS NOT NULL) AS readmitted,
       min(received_at) AS first_at, max(received_at) AS last_at,
       min(retried_until) FILTER (WHERE readmitted_at IS NULL AND retried_until > clock_timestamp()) AS given_up_from
FROM rejected_requests GROUP BY provider, reason;
COMMENT ON VIEW reporting.rejections IS
    'Rejected requests that are kept, and can be readmitted once they verify; by provider and reason.';
COMMENT ON COLUMN reporting.rejections.provider IS 'The provider whose URL was requested.';
COMMENT ON COLUMN reporting.rejections.reason IS 'Why they were rejected, as a slug.';
COMMENT ON COLUMN reporting.rejections.requests IS 'Number of requests that are kept.';
COMMENT ON COLUMN reporting.rejections.readmitted IS 'How many of them were readmitted.';
COMMENT ON COLUMN reporting.rejections.first_at IS 'Instant at which the oldest of them was received.';
COMMENT ON COLUMN reporting.rejections.last_at IS 'Instant at which the newest of them was received.';
COMMENT ON COLUMN reporting.rejections.given_up_from IS
    'Instant at which the provider gives up on the first that was not readmitted; null if it has given up on all.';
GRANT SELECT ON reporting.rejections TO kvitto_analyst;
