"""Kompar's API for webhooks: one webhook per topic, which can be registered and removed, but not listed.

Kompar's page documents refusals as "400 NOT FOUND", and they arrive as 404: both statuses mean a refusal here.
"""

from typing import Any
from urllib.parse import urlsplit

from app.errors import AlreadyRegisteredError, NotRegisteredError, ProviderCallError
from app.providers.base import ProviderSubscription, TriggerUnsupportedError, UnknownTopicError
from app.providers.http_client import ProviderApi, ReportWait
from config.environment import Environment

_HOST = "api.kompar.se"
_PRODUCTION = f"https://{_HOST}"
# Topic → the kind of random event that the test environment sends on request.
_RANDOM_KINDS = {"applications": "application", "decisions": "decision"}
_REFUSED = (400, 404)


class KomparSubscriptions:
    """Webhooks at Kompar. Lender and Kompar agree on the token and the key of deliveries by other means."""

    exclusive = True
    described = frozenset(_RANDOM_KINDS)
    secrets = None

    def __init__(self, api: ProviderApi, login: str, password: str) -> None:
        self._api = api
        self._login = (login, password)
        self._token = ""
        self.url = api.url

    @property
    def genuine(self) -> bool:
        """Whether this is Kompar's own API."""
        return urlsplit(self.url).hostname == _HOST

    def path(self, topic: str) -> str:
        """Return the path of the edge that takes the topic."""
        if topic not in _RANDOM_KINDS:
            raise UnknownTopicError(f"Kompar has no webhook {topic!r}; name one of {', '.join(_RANDOM_KINDS)}")
        return f"/webhooks/kompar/{topic}"

    def register(self, topic: str, url: str) -> ProviderSubscription:
        """Register the webhook of a topic."""
        try:
            self._call("POST", f"/webhooks/{topic}", json={"url": url})
        except ProviderCallError as error:
            if error.status in _REFUSED and "already" in error.detail.lower():
                raise AlreadyRegisteredError.of(error, error.hint) from error
            raise
        return ProviderSubscription(topic, url)

    def remove(self, subscription: ProviderSubscription) -> None:
        """Remove the webhook of a topic, whatever its URL."""
        try:
            self._call("DELETE", f"/webhooks/{subscription.topic}")
        except ProviderCallError as error:
            if error.status in _REFUSED:
                raise NotRegisteredError.of(error, "There is nothing to remove") from error
            raise

    def listed(self) -> None:
        """Return None: Kompar's API lists no webhooks."""

    def trigger(self, topic: str) -> None:
        """Have the test environment send a random event."""
        if self.url == _PRODUCTION:
            raise TriggerUnsupportedError("only Kompar's test environment sends events on request (KOMPAR_API_URL)")
        try:
            self._call("GET", f"/random/{_RANDOM_KINDS[topic]}")
        except ProviderCallError as error:
            if error.status in _REFUSED:
                hint = "register it first, at the test environment (KOMPAR_API_URL)"
                raise TriggerUnsupportedError(f"{error.detail}; {hint}") from error
            raise

    def close(self) -> None:
        """Close the connections."""
        self._api.close()

    def _call(self, method: str, path: str, **request: Any) -> None:
        """Make a call. All calls share one token, because a new token would invalidate the one before it."""
        self._token = self._token or self._api.token("GET", "/token", "token", auth=self._login)
        answer = self._api.call(method, path, headers={"Authorization": f"Bearer {self._token}"}, **request)
        if isinstance(answer, dict) and answer.get("success") is False:
            raise self._api.unexpected(f"refused: {answer.get('message', 'it does not say why')}")


def read(environment: Environment, report: ReportWait) -> KomparSubscriptions:
    """Read KOMPAR_API_URL, KOMPAR_API_USERNAME and KOMPAR_API_PASSWORD."""
    credentials = {name: environment.secret(name) for name in ("KOMPAR_API_USERNAME", "KOMPAR_API_PASSWORD")}
    api = ProviderApi.read(environment, "KOMPAR_API_URL", _PRODUCTION, credentials, report)
    return KomparSubscriptions(api, *credentials.values())
