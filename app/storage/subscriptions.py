"""Subscriptions as the ledger knows them. Each request is recorded before the provider is called, its result after."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.sql import SQL

from app.storage.connection import Connection, fetch_one

# What a change of a subscription sets. `detail` is the provider's id, or a reason.
_CHANGES = {
    "active": SQL("activated_at = clock_timestamp(), reference = %(detail)s"),
    "failed": SQL("failed_at = clock_timestamp(), reason = %(detail)s"),
    "deletion-requested": SQL("deletion_requested_at = clock_timestamp()"),
    "deletion-failed": SQL("deletion_requested_at = NULL"),
    "deleted": SQL("deleted_at = coalesce(deleted_at, clock_timestamp())"),
}


def insert_pending(connection: Connection, request: Mapping[str, str]) -> UUID:
    """Record a subscription whose request is about to be sent, or that is to be adopted.

    `request` holds `provider`, `topic`, `url`, and `api_url`, the API that is called.
    """
    query = """
        INSERT INTO subscriptions (provider, topic, url, api_url)
        VALUES (%(provider)s, %(topic)s, %(url)s, %(api_url)s) RETURNING id
    """
    subscription: UUID = fetch_one(connection, query, request).id
    return subscription


def record(connection: Connection, subscription: UUID, change: str, detail: str | None = None) -> None:
    """Record a change of a subscription, or that a provider is about to be called; committed when this returns."""
    query = SQL("UPDATE subscriptions SET {} WHERE id = %(id)s").format(_CHANGES[change])
    connection.execute(query, {"id": subscription, "detail": detail})


def select(connection: Connection, provider: str | None = None, topic: str | None = None) -> list[dict[str, Any]]:
    """Return subscriptions, oldest first, deleted and failed ones included."""
    query = """
        SELECT id, provider, topic, url, api_url, reference, state, reason, requested_at, activated_at, deleted_at
        FROM subscriptions
        WHERE provider = coalesce(%s, provider) AND topic = coalesce(%s, topic) ORDER BY requested_at, id
    """
    return [row._asdict() for row in connection.execute(query, [provider, topic])]


def clock(connection: Connection) -> datetime:
    """Return the time by the server's clock."""
    now: datetime = fetch_one(connection, "SELECT clock_timestamp() AS now").now
    return now
