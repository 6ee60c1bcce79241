"""When each token and key of the providers was last used, by processes that have it. No value is kept."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from app.storage.connection import Connection, columns


def record(connection: Connection, last_uses: Mapping[tuple[str, str], float]) -> None:
    """Record the Unix time of the last use by (provider, credential), 0 for none; that it is configured is recorded."""
    if not last_uses:
        return
    query = """
        INSERT INTO credential_uses AS kept (provider, credential, last_used_at)
        SELECT * FROM unnest(%s::text[], %s::text[], %s::timestamptz[])
        ON CONFLICT (provider, credential) DO UPDATE
        SET last_used_at = greatest(kept.last_used_at, excluded.last_used_at), reported_at = clock_timestamp()
    """
    rows = [(*key, datetime.fromtimestamp(at, UTC) if at else None) for key, at in sorted(last_uses.items())]
    connection.execute(query, columns(rows))


def select(connection: Connection) -> list[dict[str, Any]]:
    """Return all credentials that processes had lately, and what their last use says.

    state: `in use`, `not used` for 30 days while another one of the provider was, or `unknown`: too little was seen.
    """
    query = """
        SELECT provider, credential, last_used_at, first_reported_at,
               CASE WHEN last_used_at > clock_timestamp() - interval '30 days' THEN 'in use'
                    WHEN greatest(last_used_at, first_reported_at) < clock_timestamp() - interval '30 days'
                         AND max(last_used_at) OVER (PARTITION BY provider, split_part(credential, ' ', 1))
                             > clock_timestamp() - interval '30 days' THEN 'not used'
                    ELSE 'unknown' END AS state
        FROM credential_uses WHERE reported_at > clock_timestamp() - interval '1 hour' ORDER BY provider, credential
    """
    return [row._asdict() for row in connection.execute(query)]
