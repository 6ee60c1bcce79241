"""Subscriptions as we know them: each asked for first, then settled by what the provider answered."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app.storage.connection import Connection


@dataclass(frozen=True, slots=True)
class SubscriptionRequest:
    """What a provider is to deliver where, by which API it is asked, and who wants it."""

    provider: str
    topic: str
    url: str
    api_url: str
    operator: str


def ask(connection: Connection, wish: SubscriptionRequest) -> UUID:
    """Note that a provider is about to be asked; committed when this returns."""
    row = connection.execute(
        "INSERT INTO subscriptions (provider, topic, url, api_url, operator) VALUES (%s, %s, %s, %s, %s) RETURNING id",
        [wish.provider, wish.topic, wish.url, wish.api_url, wish.operator],
    ).fetchone()
    assert row is not None  # noqa: S101 - an INSERT returns its row
    return UUID(str(row.id))


def record_registered(connection: Connection, subscription: UUID, reference: str | None) -> None:
    """Note that the provider registered it."""
    query = "UPDATE subscriptions SET activated_at = clock_timestamp(), reference = %s WHERE id = %s"
    connection.execute(query, [reference, subscription])


def record_refused(connection: Connection, subscription: UUID, reason: str) -> None:
    """Note that the provider did not register it."""
    query = "UPDATE subscriptions SET failed_at = clock_timestamp(), reason = %s WHERE id = %s"
    connection.execute(query, [reason, subscription])


def ask_removal(connection: Connection, subscription: UUID, operator: str) -> None:
    """Note that a provider is about to be asked to remove it; committed when this returns."""
    query = "UPDATE subscriptions SET deletion_requested_at = clock_timestamp(), deletion_operator = %s WHERE id = %s"
    connection.execute(query, [operator, subscription])


def record_kept(connection: Connection, subscription: UUID) -> None:
    """Note that the provider did not remove it."""
    query = "UPDATE subscriptions SET deletion_requested_at = NULL, deletion_operator = NULL WHERE id = %s"
    connection.execute(query, [subscription])


def record_removed(connection: Connection, subscription: UUID) -> None:
    """Note that it is the provider's no more."""
    query = "UPDATE subscriptions SET deleted_at = clock_timestamp() WHERE id = %s AND deleted_at IS NULL"
    connection.execute(query, [subscription])


def select(connection: Connection, provider: str | None = None, topic: str | None = None) -> list[dict[str, Any]]:
    """Return subscriptions, oldest first, those removed or refused too."""
    rows = connection.execute(
        """
        SELECT id, provider, topic, url, api_url, reference, state, reason, operator, requested_at, activated_at,
               deletion_operator, deleted_at
        FROM subscriptions
        WHERE provider = coalesce(%s, provider) AND topic = coalesce(%s, topic) ORDER BY requested_at, id
        """,
        [provider, topic],
    )
    return [row._asdict() for row in rows]


def clock(connection: Connection) -> datetime:
    """Return the time by the server's clock."""
    row = connection.execute("SELECT clock_timestamp() AS now").fetchone()
    assert row is not None  # noqa: S101 - it always is
    found: datetime = row.now
    return found
