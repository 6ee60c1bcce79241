"""Kompar's API for webhooks: one for each kind, which can be registered and removed, and not asked for.

Its page calls refusals "400 NOT FOUND" and they arrive as 404: the two are taken alike.
"""

from typing import Any
from urllib.parse import urlsplit

from app.errors import AlreadyRegisteredError, NotRegisteredError, ProviderCallError
from app.providers.api_address import ApiAddress
from app.providers.base import Subscription, TriggerUnsupportedError, UnknownTopicError
from app.providers.http_client import ProviderApi, Tell
from config.environment import Environment

_PRODUCTION = "https://api.kompar.se"
_OWN_HOST = "api.kompar.se"
# By topic, what the test environment sends on request.
_RANDOM = {"applications": "application", "decisions": "decision"}
_REFUSED = (400, 404)


class KomparSubscriptions:
    """Webhooks at Kompar; the token and the key of deliveries are agreed on otherwise."""

    exclusive = True
    described = frozenset(_RANDOM)
    secrets = None

    def __init__(self, api: ProviderApi, login: str, password: str) -> None:
        self._api = api
        self._login = (login, password)
        self._token = ""
        self.url = api.url

    @property
    def genuine(self) -> bool:
        """Whether it is Kompar's own."""
        return urlsplit(self.url).hostname == _OWN_HOST

    def path(self, topic: str) -> str:
        """Return where the edge takes a kind."""
        if topic not in _RANDOM:
            raise UnknownTopicError(f"Kompar has no webhook {topic!r}; name one of {', '.join(_RANDOM)}")
        return f"/webhooks/kompar/{topic}"

    def register(self, topic: str, url: str) -> Subscription:
        """Register the webhook of a kind."""
        try:
            self._call("POST", f"/webhooks/{topic}", json={"url": url})
        except ProviderCallError as error:
            if error.status in _REFUSED and "already" in error.detail.lower():
                raise AlreadyRegisteredError.of(error, error.hint) from error
            raise
        return Subscription(topic, url)

    def remove(self, subscription: Subscription) -> None:
        """Remove the webhook of a kind, whatever its URL."""
        try:
            self._call("DELETE", f"/webhooks/{subscription.topic}")
        except ProviderCallError as error:
            if error.status in _REFUSED:
                raise NotRegisteredError.of(error, "There is nothing to remove") from error
            raise

    def listed(self) -> None:
        """Return nothing: Kompar cannot be asked."""

    def trigger(self, topic: str) -> None:
        """Have the test environment send a random event."""
        if self.url == _PRODUCTION:
            told = "only Kompar's test environment sends events on request (KOMPAR_API_URL)"
            raise TriggerUnsupportedError(f"{told}; wait for the next with --no-trigger")
        try:
            self._call("GET", f"/random/{_RANDOM[topic]}")
        except ProviderCallError as error:
            if error.status in _REFUSED:
                raise TriggerUnsupportedError(
                    f"{error.detail}; register it first, at the test environment (KOMPAR_API_URL)"
                ) from error
            raise

    def close(self) -> None:
        """Close the connections."""
        self._api.close()

    def _call(self, method: str, path: str, **request: Any) -> None:
        """Make a call, all of them under one token: a new one would end the one before it."""
        self._token = self._token or self._api.token("GET", "/token", "token", auth=self._login)
        answer = self._api.call(method, path, headers={"Authorization": f"Bearer {self._token}"}, **request)
        if isinstance(answer, dict) and answer.get("success") is False:
            raise self._api.unexpected(f"refused: {answer.get('message', 'it does not say why')}")


def read(environment: Environment, tell: Tell) -> KomparSubscriptions:
    """Read KOMPAR_API_URL, KOMPAR_API_USERNAME and KOMPAR_API_PASSWORD."""
    address = ApiAddress.read(environment, "KOMPAR_API_URL", _PRODUCTION)
    login, password = environment.secret("KOMPAR_API_USERNAME"), environment.secret("KOMPAR_API_PASSWORD")
    return KomparSubscriptions(
        ProviderApi(address, {"KOMPAR_API_USERNAME": login, "KOMPAR_API_PASSWORD": password}, tell), login, password
    )
