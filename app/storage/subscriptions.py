"""Subscriptions as the ledger knows them. Each request is recorded before the provider is called, its result after."""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from app.storage.connection import Connection, fetch_one


class SubscriptionRequest(NamedTuple):
    """What a provider is to deliver where, the API that is called for it, and who requests it."""

    provider: str
    topic: str
    url: str
    api_url: str
    operator: str


def insert_pending(connection: Connection, request: SubscriptionRequest) -> UUID:
    """Record that a provider is about to be called; committed when this returns."""
    query = """
        INSERT INTO subscriptions (provider, topic, url, api_url, operator) VALUES (%s, %s, %s, %s, %s) RETURNING id
    """
    subscription: UUID = fetch_one(connection, query, request).id
    return subscription


def record_active(connection: Connection, subscription: UUID, reference: str | None) -> None:
    """Record that the provider registered it."""
    query = "UPDATE subscriptions SET activated_at = clock_timestamp(), reference = %s WHERE id = %s"
    connection.execute(query, [reference, subscription])


def record_failed(connection: Connection, subscription: UUID, reason: str) -> None:
    """Record that the provider did not register it."""
    query = "UPDATE subscriptions SET failed_at = clock_timestamp(), reason = %s WHERE id = %s"
    connection.execute(query, [reason, subscription])


def record_deletion_requested(connection: Connection, subscription: UUID, operator: str) -> None:
    """Record that a provider is about to be called to remove it; committed when this returns."""
    query = "UPDATE subscriptions SET deletion_requested_at = clock_timestamp(), deletion_operator = %s WHERE id = %s"
    connection.execute(query, [operator, subscription])


def record_deletion_failed(connection: Connection, subscription: UUID) -> None:
    """Record that the provider did not remove it."""
    query = "UPDATE subscriptions SET deletion_requested_at = NULL, deletion_operator = NULL WHERE id = %s"
    connection.execute(query, [subscription])


def record_deleted(connection: Connection, subscription: UUID) -> None:
    """Record that the provider has it no more."""
    query = "UPDATE subscriptions SET deleted_at = clock_timestamp() WHERE id = %s AND deleted_at IS NULL"
    connection.execute(query, [subscription])


def select(connection: Connection, provider: str | None = None, topic: str | None = None) -> list[dict[str, Any]]:
    """Return subscriptions, oldest first, deleted and failed ones included."""
    query = """
        SELECT id, provider, topic, url, api_url, reference, state, reason, operator, requested_at, activated_at,
               deletion_operator, deleted_at
        FROM subscriptions
        WHERE provider = coalesce(%s, provider) AND topic = coalesce(%s, topic) ORDER BY requested_at, id
    """
    return [row._asdict() for row in connection.execute(query, [provider, topic])]


def clock(connection: Connection) -> datetime:
    """Return the time by the server's clock."""
    now: datetime = fetch_one(connection, "SELECT clock_timestamp() AS now").now
    return now
