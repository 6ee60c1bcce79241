"""Registers and removes subscriptions at providers, and records every request and its result in the database.

The record is written before the call and updated after it. So a lost answer, or a crash between the two, leaves a row
that says that a subscription may exist.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.errors import AlreadyRegisteredError, NotRegisteredError, ProviderCallError
from app.providers.base import ProviderSubscription, SubscriptionApi
from app.storage import access_log
from app.storage import subscriptions as records
from app.storage.access_log import Access, Action
from app.storage.connection import Connection

Rows = list[dict[str, Any]]

# States of a row whose subscription exists at the provider, or may exist.
OPEN = ("pending", "active", "deleting")


class AmbiguousSubscriptionError(Exception):
    """Several subscriptions match; the text names them."""


class KnownSubscriptionError(Exception):
    """The subscription to adopt is recorded already; the text says how."""


@dataclass(frozen=True, slots=True)
class SubscriptionService:
    """Manages the subscriptions of one provider on behalf of `operator`."""

    connection: Connection
    provider: str
    api: SubscriptionApi
    operator: str

    def register(
        self, topic: str, url: str, replace: bool, keep_secret: Callable[[ProviderSubscription], None]
    ) -> ProviderSubscription:
        """Subscribe `url` to a topic. `keep_secret` gets the subscription before anything else can fail.

        Raises:
            AlreadyRegisteredError: The provider has a subscription; `replace` would remove it first.
            ProviderCallError: The provider refused. If the result is unknown (`undecided`), the row stays open.
        """
        others = self._open_rows(topic)
        row = self._insert("subscription-requested", topic, url)
        try:
            subscription = self._register(topic, url, others if replace else None)
        except ProviderCallError as error:
            if not error.undecided:
                records.record(self.connection, row, "failed", error.reason)
            raise
        keep_secret(subscription)
        records.record(self.connection, row, "active", subscription.reference)
        if self.api.exclusive:  # the provider keeps only the new one
            self._record(others, "deleted")
        return subscription

    def adopt(self, subscription: ProviderSubscription) -> None:
        """Record a subscription that the provider lists and that was made by other means, or whose answer was lost.

        Raises:
            KnownSubscriptionError: It is recorded already.
        """
        rows = [row for row in self._open_rows(subscription.topic) if _belongs_to(row, subscription)]
        if any(row["reference"] for row in rows):
            raise KnownSubscriptionError(f"{subscription.reference} is recorded already, as {rows[0]['state']}")
        row = self._insert("subscription-adopted", subscription.topic, subscription.url, rows)
        records.record(self.connection, row, "active", subscription.reference)

    def remove(self, topic: str, url: str | None = None, reference: str | None = None) -> ProviderSubscription:
        """Remove the subscription to a topic; `url` and `reference` select one of several.

        Raises:
            NotRegisteredError: There is no such subscription.
            AmbiguousSubscriptionError: Several match.
            ProviderCallError: The provider refused, or the result is unknown: then the row stays open.
        """
        rows = self._open_rows(topic)
        listed = self.api.listed()
        if listed is None:
            subscription = _from_rows(topic, url, rows)
        else:
            matching = [
                each
                for each in listed
                if each.topic == topic and url in (None, each.url) and reference in (None, each.reference)
            ]
            if not matching:  # the provider's list proves that rows in doubt were removed
                gone = [row for row in rows if url in (None, row["url"]) and reference in (None, row["reference"])]
                self._record(gone, "deleted")
            subscription = _require_one(matching, topic)
            rows = [row for row in rows if _belongs_to(row, subscription)]
        self._remove(subscription, rows)
        return subscription

    def _register(self, topic: str, url: str, replaced: Rows | None) -> ProviderSubscription:
        """Call the API. If it has a subscription already and `replaced` is given, remove that first."""
        try:
            return self.api.register(topic, url)
        except AlreadyRegisteredError:
            if replaced is None:
                raise
        except ProviderCallError as error:
            if error.undecided:
                raise
            raise _nothing_changed(error) from error
        return self._replace(topic, url, replaced)

    def _replace(self, topic: str, url: str, replaced: Rows) -> ProviderSubscription:
        """Remove the former subscription to a topic, and register another."""
        try:
            self._remove(_from_rows(topic, None, replaced), replaced)
        except NotRegisteredError:
            pass  # it was removed meanwhile
        except ProviderCallError as error:
            if _is_refusal(error):
                raise _nothing_changed(error) from error
            detail = f"whether the former subscription to {topic} was removed is not known: {error.detail}"
            raise ProviderCallError.of(error, "Repeat this command until it succeeds", detail) from error
        try:
            return self.api.register(topic, url)
        except ProviderCallError as error:
            left = "it is not known whether anything is" if error.undecided else "NOTHING IS"
            detail = f"{left} registered for {topic} now. The former one was removed, and then: {error.detail}"
            hint = f"{error.hint}. Until `kvitto subscriptions register` succeeds, nothing is delivered"
            raise ProviderCallError.of(error, hint, detail) from error

    def _remove(self, subscription: ProviderSubscription, rows: Rows) -> None:
        """Call the API, and record the request and its result in the rows."""
        with self.connection.transaction():
            self._log("subscription-removal", subscription.topic, subscription.url)
            self._record(rows, "deletion-requested")
        try:
            self.api.remove(subscription)
        except NotRegisteredError:
            self._record(rows, "deleted")
            raise
        except ProviderCallError as error:
            if _is_refusal(error):
                self._record(rows, "deletion-failed")
            raise
        self._record(rows, "deleted")

    def _record(self, rows: Rows, change: str, detail: str | None = None) -> None:
        for row in rows:
            records.record(self.connection, row["id"], change, detail)

    def _insert(self, action: Action, topic: str, url: str, rows: Sequence[dict[str, Any]] = ()) -> UUID:
        """Log who acts, and return the row of a subscription: the first of `rows`, or else another one."""
        request = {"provider": self.provider, "topic": topic, "url": url, "api_url": self.api.url}
        with self.connection.transaction():
            self._log(action, topic, url)
            row: UUID = rows[0]["id"] if rows else records.insert_pending(self.connection, request)
            return row

    def _log(self, action: Action, topic: str, url: str) -> None:
        subject = f"{topic} to {url}" if url else topic
        access_log.record(self.connection, Access(action, self.operator, provider=self.provider, subject=subject))

    def _open_rows(self, topic: str) -> Rows:
        rows = records.select(self.connection, self.provider, topic)
        return [row for row in rows if row["state"] in OPEN and row["api_url"] == self.api.url]


def compare(rows: Rows, provider: str, url: str, listed: Sequence[ProviderSubscription] | None) -> Rows:
    """Compare the rows of a provider with the subscriptions that its API at `url` lists.

    Add `provider_says` and `differs` to each row; rows of another API are not compared. Append a row without state
    for each subscription that only the provider knows: it was made by other means, and does not differ.
    """
    unmatched = list(listed or ())
    comparable = [row for row in rows if listed is not None and row["api_url"] == url]
    # Rows with an id first: a row whose answer was lost has topic and URL only, and must not take another's.
    by_id_first = sorted(comparable, key=lambda row: (row["reference"] is None, row["state"] not in OPEN))
    findings = {row["id"]: _finding(row, _take(unmatched, row)) for row in by_id_first}
    compared = [row | findings.get(row["id"], {"provider_says": "-", "differs": False}) for row in rows]
    unknown = {"provider": provider, "state": None, "api_url": url, "provider_says": "registered", "differs": False}
    return compared + [
        unknown | {"topic": subscription.topic, "url": subscription.url, "reference": subscription.reference}
        for subscription in unmatched
    ]


def _take(unmatched: list[ProviderSubscription], row: Mapping[str, Any]) -> ProviderSubscription | None:
    """Remove a row's subscription from the list and return it; None if the list lacks it."""
    if row["reference"] is None and row["state"] not in OPEN:
        return None  # nothing was ever made
    for subscription in unmatched:
        if _belongs_to(row, subscription):
            unmatched.remove(subscription)
            return subscription
    return None


def _finding(row: Mapping[str, Any], found: ProviderSubscription | None) -> dict[str, Any]:
    """Return what the provider says about a row, and whether that differs from the row."""
    if found is None:
        return {"provider_says": "nothing", "differs": row["state"] == "active"}
    known = {"reference": found.reference}
    if found.url != row["url"]:
        return known | {"provider_says": f"registered for {found.url}", "differs": True}
    return known | {"provider_says": "registered", "differs": row["state"] != "active"}


def _from_rows(topic: str, url: str | None, rows: Rows) -> ProviderSubscription:
    """Return the subscription to remove if the API cannot list any; our rows can only rule out a wrong `url`."""
    urls = {row["url"] for row in rows}
    if url and urls and url not in urls:
        detail = f"{topic} is registered for {', '.join(sorted(urls))}, as far as is known here"
        raise NotRegisteredError("not-registered", detail, "Leave --url out to remove whatever is registered")
    return ProviderSubscription(topic, url or "")


def _require_one(matching: Sequence[ProviderSubscription], topic: str) -> ProviderSubscription:
    if not matching:
        raise NotRegisteredError("not-registered", f"{topic} is not subscribed to", "See: kvitto subscriptions list")
    if len(matching) > 1:
        all_of_them = ", ".join(f"{subscription.reference} ({subscription.url})" for subscription in matching)
        message = f"{topic} is subscribed to {len(matching)} times: {all_of_them}; name one with --id or --url"
        raise AmbiguousSubscriptionError(message)
    return matching[0]


def _belongs_to(row: Mapping[str, Any], subscription: ProviderSubscription) -> bool:
    """Return whether a row is of this subscription. A row whose answer was lost has no id, only topic and URL."""
    if row["reference"] is None:
        return bool((row["topic"], row["url"]) == (subscription.topic, subscription.url))
    return bool(row["reference"] == subscription.reference)


def _is_refusal(error: ProviderCallError) -> bool:
    """Return whether the provider refused, so that nothing changed there."""
    return 400 <= error.status < 500


def _nothing_changed(error: ProviderCallError) -> ProviderCallError:
    return ProviderCallError.of(error, f"{error.hint}. Nothing was changed")
