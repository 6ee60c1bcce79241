"""Has providers deliver to us, and keeps what they were asked and answered."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.errors import AlreadyRegisteredError, NotRegisteredError, ProviderCallError
from app.providers.base import Subscription, Subscriptions
from app.storage import subscriptions as kept
from app.storage.connection import Connection

Rows = list[dict[str, Any]]

# What a provider has, or may have.
OPEN = ("pending", "active", "deleting")


class AmbiguousSubscriptionError(Exception):
    """Several subscriptions fit; the text names them."""


@dataclass(frozen=True, slots=True)
class SubscriptionService:
    """What an operator asks of one provider. Every call is noted before it is made, and settled after it."""

    connection: Connection
    provider: str
    api: Subscriptions
    operator: str

    def register(
        self, topic: str, url: str, replace: bool, keep_secret: Callable[[Subscription], None]
    ) -> Subscription:
        """Have a topic delivered to `url`; `keep_secret` gets what was made before anything else can fail.

        Raises:
            AlreadyRegisteredError: There is one, which `replace` would remove first.
            ProviderCallError: It was refused, or nobody knows (`undecided`): then its row stays as `pending`.
        """
        others = self._open_rows(topic)
        row = kept.insert_pending(
            self.connection, kept.SubscriptionRequest(self.provider, topic, url, self.api.url, self.operator)
        )
        try:
            made = self._make(topic, url, others if replace else None)
        except ProviderCallError as error:
            if not error.undecided:
                kept.record_failed(self.connection, row, error.reason)
            raise
        keep_secret(made)
        kept.record_active(self.connection, row, made.reference)
        if self.api.exclusive:  # whatever there was before, it is gone
            self._note(kept.record_deleted, others)
        return made

    def remove(self, topic: str, url: str | None = None, reference: str | None = None) -> Subscription:
        """Have a topic delivered no more; `url` and `reference` tell which, where there are several.

        Raises:
            NotRegisteredError: There is no such subscription.
            Ambiguous: There are several.
            ProviderCallError: It was refused, or nobody knows: then its row stays as `deleting`.
        """
        rows = self._open_rows(topic)
        listed = self.api.listed()
        if listed is None:
            found = _as_known(topic, url, rows)
        else:
            fitting = [each for each in listed if _fits(each, topic, url, reference)]
            if not fitting:  # what was in doubt is settled
                self._note(kept.record_deleted, [row for row in rows if _is_meant(row, url, reference)])
            found = _only(fitting, topic)
            rows = [row for row in rows if _is_of(row, found)]
        self._remove(found, rows)
        return found

    def _make(self, topic: str, url: str, replaced: Rows | None) -> Subscription:
        try:
            return self.api.register(topic, url)
        except AlreadyRegisteredError:
            if replaced is None:
                raise
        except ProviderCallError as error:
            if error.undecided:
                raise
            raise _left_alone(error) from error
        self._clear(topic, replaced)
        try:
            return self.api.register(topic, url)
        except ProviderCallError as error:
            raise _left_without(topic, error) from error

    def _clear(self, topic: str, rows: Rows) -> None:
        """Make room for another subscription."""
        try:
            self._remove(_as_known(topic, None, rows), rows)
        except NotRegisteredError:
            pass  # it went meanwhile
        except ProviderCallError as error:
            raise _left_alone(error) if _is_refusal(error) else _left_in_doubt(topic, error) from error

    def _remove(self, subscription: Subscription, rows: Rows) -> None:
        """Have a subscription removed, and note that of its rows."""
        for row in rows:
            kept.record_deletion_requested(self.connection, row["id"], self.operator)
        try:
            self.api.remove(subscription)
        except NotRegisteredError:
            self._note(kept.record_deleted, rows)
            raise
        except ProviderCallError as error:
            if _is_refusal(error):
                self._note(kept.record_deletion_failed, rows)
            raise
        self._note(kept.record_deleted, rows)

    def _note(self, note: Callable[[Connection, UUID], None], rows: Rows) -> None:
        for row in rows:
            note(self.connection, row["id"])

    def _open_rows(self, topic: str) -> Rows:
        rows = kept.select(self.connection, self.provider, topic)
        return [row for row in rows if row["state"] in OPEN and row["api_url"] == self.api.url]


def _as_known(topic: str, url: str | None, rows: Rows) -> Subscription:
    """Return what is to be removed of a provider that cannot be asked: whatever it has, unless we know better."""
    known = {row["url"] for row in rows}
    if url and known and url not in known:
        told = f"{topic} is registered for {', '.join(sorted(known))}, as far as is known here"
        raise NotRegisteredError("not-registered", told, "Leave --url out to remove whatever is registered")
    return Subscription(topic, url or "")


def _fits(each: Subscription, topic: str, url: str | None, reference: str | None) -> bool:
    return each.topic == topic and url in (None, each.url) and reference in (None, each.reference)


def _is_meant(row: Mapping[str, Any], url: str | None, reference: str | None) -> bool:
    return url in (None, row["url"]) and reference in (None, row["reference"])


def _only(found: Sequence[Subscription], topic: str) -> Subscription:
    if not found:
        raise NotRegisteredError("not-registered", f"{topic} is not subscribed to", "See: kvitto subscriptions list")
    if len(found) > 1:
        told = ", ".join(f"{each.reference} ({each.url})" for each in found)
        raise AmbiguousSubscriptionError(
            f"{topic} is subscribed to {len(found)} times: {told}; name one with --id or --url"
        )
    return found[0]


def _is_of(row: Mapping[str, Any], subscription: Subscription) -> bool:
    """Tell whether a row is of this subscription; one whose answer was lost is known by its URL alone."""
    if row["reference"] is None:
        return bool(row["url"] == subscription.url)
    return bool(row["reference"] == subscription.reference)


def _is_refusal(error: ProviderCallError) -> bool:
    """Tell whether a failure leaves everything as it was."""
    return 400 <= error.status < 500


def _left_alone(error: ProviderCallError) -> ProviderCallError:
    """Return the failure after which everything is as it was."""
    return ProviderCallError.of(error, f"{error.hint}. Nothing was changed")


def _left_in_doubt(topic: str, error: ProviderCallError) -> ProviderCallError:
    """Return the failure after which a subscription may be there or not."""
    told = f"whether the former subscription to {topic} was removed is not known: {error.detail}"
    return ProviderCallError(error.reason, told, "Repeat this command until it succeeds", status=error.status)


def _left_without(topic: str, error: ProviderCallError) -> ProviderCallError:
    """Return the failure after which nothing is registered."""
    left = "it is not known whether anything is" if error.undecided else "NOTHING IS"
    told = f"{left} registered for {topic} now. The former one was removed, and then: {error.detail}"
    mend = f"{error.hint}. Until `kvitto subscriptions register` succeeds, nothing is delivered"
    return ProviderCallError(error.reason, told, mend, status=error.status, undecided=error.undecided)


def compare(rows: Rows, provider: str, url: str, listed: Sequence[Subscription] | None) -> Rows:
    """Return our rows of one provider's API beside what it says: `provider_says`, and whether that `differs`.

    What only the provider knows comes last, without a state. Rows of another API than this one are left as they are.
    """
    theirs = {each.reference: each for each in listed or ()}
    found = []
    for row in rows:
        if row["api_url"] != url or listed is None:
            found.append(row | {"provider_says": "-", "differs": False})
            continue
        each = theirs.pop(row["reference"], None)
        says = "nothing" if each is None else "registered" if each.url == row["url"] else f"registered for {each.url}"
        differs = says != ("registered" if row["state"] == "active" else "nothing")
        found.append(row | {"provider_says": says, "differs": differs})
    for each in theirs.values():
        row = {"provider": provider, "topic": each.topic, "url": each.url, "reference": each.reference, "state": None}
        found.append(row | {"api_url": url, "provider_says": "registered", "differs": True})
    return found
