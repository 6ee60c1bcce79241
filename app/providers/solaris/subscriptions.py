"""Solaris' API for webhooks: a subscription and a secret for each event type, shown once."""

import itertools
import re
from typing import Any
from urllib.parse import urlsplit

from app.errors import NotRegisteredError, ProviderCallError
from app.providers.api_address import ApiAddress
from app.providers.base import Subscription, TriggerUnsupportedError, UnknownTopicError
from app.providers.http_client import ProviderApi, Tell
from app.providers.solaris.events import KINDS
from config.environment import Environment

_API = "https://api.solarisbank.de"
_AUTHORIZATION = "https://auth.solarisbank.de"
_OWN_DOMAINS = ("solarisbank.de", "solaris-sandbox.de", "solarisgroup.com")
_PATH = "/v1/webhooks"
_PAGE_SIZE = 100


class SolarisSubscriptions:
    """Webhooks at Solaris; the topic is the event type. An event type may have two, while one replaces the other."""

    exclusive = False
    described = frozenset(KINDS)
    secrets = "SOLARIS_SECRETS"

    def __init__(self, api: ProviderApi, authorization: ProviderApi, client: tuple[str, str]) -> None:
        self._api = api
        self._authorization = authorization
        self._client = client
        self._token = ""
        self.url = api.url

    @property
    def genuine(self) -> bool:
        """Whether it is Solaris' own."""
        return (urlsplit(self.url).hostname or "").endswith(_OWN_DOMAINS)

    def path(self, topic: str) -> str:
        """Return where the edge takes every event type."""
        if not re.fullmatch(r"[A-Z][A-Z0-9_]{2,63}", topic):
            raise UnknownTopicError(
                f"{topic!r} is no event type of Solaris; write it like INCOMING_REJECTED_TRANSACTION"
            )
        return "/webhooks/solaris"

    def register(self, topic: str, url: str) -> Subscription:
        """Subscribe to an event type; Solaris tries the URL first, with an empty request."""
        match self._call("POST", _PATH, json={"event_type": topic, "url": url}):
            case {"id": str(reference), "secret": str(secret)}:
                return Subscription(topic, url, reference, secret)
        raise self._api.unexpected("no id or secret in its answer to a subscription", undecided=True)

    def remove(self, subscription: Subscription) -> None:
        """Delete a subscription by its id."""
        try:
            self._call("DELETE", f"{_PATH}/{subscription.reference}")
        except ProviderCallError as error:
            if error.status == 404:
                raise NotRegisteredError.of(error, "There is nothing to remove") from error
            raise

    def listed(self) -> list[Subscription]:
        """Return all subscriptions, page by page until one brings nothing new."""
        found: dict[str | None, Subscription] = {}
        for number in itertools.count(1):
            fresh = {each.reference: each for each in self._page(number) if each.reference not in found}
            if not fresh:
                break
            found |= fresh
        return list(found.values())

    def trigger(self, topic: str) -> None:
        """Have this project's sandbox send an event; Solaris itself has no call for that."""
        if self.genuine:
            raise TriggerUnsupportedError(
                "Solaris sends nothing on request; cause an event, and wait for it with --no-trigger"
            )
        self._api.call("POST", "/sandbox/send", json={"event_type": topic})

    def close(self) -> None:
        """Close the connections."""
        self._api.close()
        self._authorization.close()

    def _page(self, number: int) -> list[Subscription]:
        page = self._call("GET", _PATH, params={"page[number]": number, "page[size]": _PAGE_SIZE})
        if not isinstance(page, list) or not all(isinstance(each, dict) and "id" in each for each in page):
            raise self._api.unexpected("no list of subscriptions in its answer")
        return [Subscription(str(each.get("event_type")), str(each.get("url")), str(each["id"])) for each in page]

    def _call(self, method: str, path: str, **request: Any) -> Any:
        self._token = self._token or self._authorization.token(
            "POST",
            "/oauth2/token",
            "access_token",
            data={"grant_type": "client_credentials", "scope": "partners"},
            auth=self._client,
        )
        return self._api.call(method, path, headers={"Authorization": f"Bearer {self._token}"}, **request)


def read(environment: Environment, tell: Tell) -> SolarisSubscriptions:
    """Read SOLARIS_API_URL, SOLARIS_AUTH_URL, SOLARIS_CLIENT_ID and SOLARIS_CLIENT_SECRET."""
    api = ApiAddress.read(environment, "SOLARIS_API_URL", _API)
    authorization = ApiAddress.read(environment, "SOLARIS_AUTH_URL", _AUTHORIZATION)
    client = environment.secret("SOLARIS_CLIENT_ID"), environment.secret("SOLARIS_CLIENT_SECRET")
    credentials = dict(zip(("SOLARIS_CLIENT_ID", "SOLARIS_CLIENT_SECRET"), client, strict=True))
    return SolarisSubscriptions(
        ProviderApi(api, credentials, tell), ProviderApi(authorization, credentials, tell), client
    )
