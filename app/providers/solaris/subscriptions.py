"""Solaris' API for webhooks: one subscription and one secret per event type. The secret is shown once."""

import itertools
import re
from typing import Any
from urllib.parse import urlsplit

from app.errors import NotRegisteredError, ProviderCallError
from app.providers.base import ProviderSubscription, TriggerUnsupportedError, UnknownTopicError
from app.providers.http_client import ProviderApi, ReportWait
from app.providers.solaris.events import EVENT_TYPES
from config.environment import Environment

_API = "https://api.solarisbank.de"
_AUTHORIZATION = "https://auth.solarisbank.de"
_OWN_DOMAINS = ("solarisbank.de", "solaris-sandbox.de", "solarisgroup.com")
_PATH = "/v1/webhooks"
_PAGE_SIZE = 100


class SolarisSubscriptions:
    """Webhooks at Solaris. The topic is the event type, which may have two while one replaces the other."""

    exclusive = False
    described = frozenset(EVENT_TYPES)
    secrets = "SOLARIS_SECRETS"

    def __init__(self, api: ProviderApi, authorization: ProviderApi, client_id: str, secret: str) -> None:
        self._api = api
        self._authorization = authorization
        self._client = (client_id, secret)
        self._token = ""
        self.url = api.url

    @property
    def genuine(self) -> bool:
        """Whether this is Solaris' own API."""
        return (urlsplit(self.url).hostname or "").endswith(_OWN_DOMAINS)

    def path(self, topic: str) -> str:
        """Return the path of the edge, one for all event types."""
        if re.fullmatch(r"[A-Z][A-Z0-9_]{2,63}", topic):
            return "/webhooks/solaris"
        raise UnknownTopicError(f"{topic!r} is no event type of Solaris; write it like INCOMING_REJECTED_TRANSACTION")

    def register(self, topic: str, url: str) -> ProviderSubscription:
        """Subscribe to an event type. Solaris calls the URL first, with an empty request."""
        match self._call("POST", _PATH, json={"event_type": topic, "url": url}):
            case {"id": str(reference), "secret": str(secret)}:
                return ProviderSubscription(topic, url, reference, secret)
        raise self._api.unexpected("no id or secret in its answer to a subscription", undecided=True)

    def remove(self, subscription: ProviderSubscription) -> None:
        """Delete a subscription by its id."""
        try:
            self._call("DELETE", f"{_PATH}/{subscription.reference}")
        except ProviderCallError as error:
            if error.status == 404:
                raise NotRegisteredError.of(error, "There is nothing to remove") from error
            raise

    def listed(self) -> list[ProviderSubscription]:
        """Return all subscriptions, page by page until a page holds nothing new."""
        by_reference: dict[str | None, ProviderSubscription] = {}
        for number in itertools.count(1):
            size = len(by_reference)
            page = self._call("GET", _PATH, params={"page[number]": number, "page[size]": _PAGE_SIZE})
            if not isinstance(page, list) or not all(isinstance(item, dict) and "id" in item for item in page):
                raise self._api.unexpected("no list of subscriptions in its answer")
            for item in page:
                topic, url, reference = str(item.get("event_type")), str(item.get("url")), str(item["id"])
                by_reference.setdefault(reference, ProviderSubscription(topic, url, reference))
            if len(by_reference) == size:
                break
        return list(by_reference.values())

    def trigger(self, topic: str) -> None:
        """Have this project's sandbox send an event; Solaris itself has no call for that."""
        if self.genuine:
            raise TriggerUnsupportedError("Solaris sends nothing on request")
        # Two events are as good as one, so the call may be repeated.
        self._api.call("POST", "/sandbox/send", repeatable=True, json={"event_type": topic})

    def close(self) -> None:
        """Close the connections."""
        self._api.close()
        self._authorization.close()

    def _call(self, method: str, path: str, **request: Any) -> Any:
        if not self._token:
            grant = {"grant_type": "client_credentials", "scope": "partners"}
            self._token = self._authorization.token(
                "POST", "/oauth2/token", "access_token", data=grant, auth=self._client
            )
        return self._api.call(method, path, headers={"Authorization": f"Bearer {self._token}"}, **request)


def read(environment: Environment, report: ReportWait) -> SolarisSubscriptions:
    """Read SOLARIS_API_URL, SOLARIS_AUTH_URL, SOLARIS_CLIENT_ID and SOLARIS_CLIENT_SECRET."""
    credentials = {name: environment.secret(name) for name in ("SOLARIS_CLIENT_ID", "SOLARIS_CLIENT_SECRET")}
    api = ProviderApi.read(environment, "SOLARIS_API_URL", _API, credentials, report)
    authorization = ProviderApi.read(environment, "SOLARIS_AUTH_URL", _AUTHORIZATION, credentials, report)
    return SolarisSubscriptions(api, authorization, *credentials.values())
