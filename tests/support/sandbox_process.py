"""The sandbox's APIs as tests call them, and receivers that it delivers to over HTTPS."""

import atexit
import base64
import shutil
import ssl
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app.audit.attempt_log import DeliveryAttempt
from app.local.certificates import Authority
from app.sandbox.api.provider_api import SharedParts
from app.sandbox.api.sandbox_app import create_app
from app.sandbox.api.subscription_store import SubscriptionStore
from app.sandbox.dispatcher import Dispatcher
from app.sandbox.serve import remove_cancelled
from tests.support.fake_receiver import Answers, Receiver, receiver

KEY = "k" * 32
KOMPAR_LOGIN = ("lender", "password")
SOLARIS_CLIENT = ("client", "secret")


def basic(name: str, password: str) -> str:
    """Return an Authorization header of HTTP's Basic scheme."""
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


class Clock:
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the seconds."""
        return self.now


@dataclass(slots=True)
class Sandbox:
    """The APIs, what delivers, and its attempts."""

    client: FlaskClient
    dispatcher: Dispatcher
    authority: Authority
    clock: Clock = field(default_factory=Clock)
    attempts: list[DeliveryAttempt] = field(default_factory=list)

    def call(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, **more: Any
    ) -> TestResponse:
        """Call an API, with the token that it grants unless headers are given."""
        sent = self.bearer(path) if headers is None else headers
        content = {"data": body} if isinstance(body, bytes) else {"json": body} if body is not None else {}
        return self.client.open(path, method=method, headers=sent, **content, **more)

    def bearer(self, path: str) -> dict[str, str]:
        """Return what authenticates a call: a new token, whose call is not counted against it."""
        if "/sandbox" in path:
            return {}
        if path.startswith("/solaris"):
            form = {"grant_type": "client_credentials", "scope": "partners"}
            granted = self.client.post("/solaris/oauth2/token", data=form, auth=SOLARIS_CLIENT)
            return {"Authorization": f"Bearer {granted.json['access_token']}"} if granted.json else {}
        base = "/kompar/test" if path.startswith("/kompar/test") else "/kompar"
        granted = self.client.get(f"{base}/token", headers={"Authorization": basic(*KOMPAR_LOGIN)})
        return {"Authorization": f"Bearer {granted.json['token']}"} if granted.json else {}

    @contextmanager
    def receiver(self, answers: Answers = lambda _: 200) -> Iterator[Receiver]:
        """Serve a receiver over HTTPS, under a certificate of the sandbox's authority."""
        with receiver(answers, self.authority.issue("receiver").context()) as target:
            yield target

    def gaps(self) -> Sequence[float]:
        """Return the seconds from the end of each try to the begin of the next."""
        pairs = zip(self.attempts, self.attempts[1:], strict=False)
        return [(later.at - earlier.at).total_seconds() - earlier.seconds for earlier, later in pairs]


@cache
def _trusted_authority() -> tuple[Authority, ssl.SSLContext]:
    """Return an authority and what trusts it, for all tests of this process: they take a tenth of a second each."""
    folder = Path(tempfile.mkdtemp(prefix="kvitto-authority-"))
    atexit.register(shutil.rmtree, folder)
    return _new_authority(folder)


def _new_authority(folder: Path) -> tuple[Authority, ssl.SSLContext]:
    folder.mkdir(parents=True, exist_ok=True)
    authority = Authority(folder)
    return authority, authority.trust()


@contextmanager
def sandbox_apis(folder: Path, speed: float = 600, *, has_own_authority: bool = False) -> Iterator[Sandbox]:
    """Play the providers, in this process; others do not trust the certificates of an own authority."""
    authority, trust = _new_authority(folder) if has_own_authority else _trusted_authority()
    clock, attempts = Clock(), list[DeliveryAttempt]()
    subscriptions = SubscriptionStore(folder / "subscriptions.json")
    with Dispatcher(attempts.append, speed, trust, on_cancelled=partial(remove_cancelled, subscriptions)) as dispatcher:
        secrets = ("delivery-token", KEY)
        parts = SharedParts(subscriptions, dispatcher, KOMPAR_LOGIN, SOLARIS_CLIENT, secrets, trust, clock)
        yield Sandbox(create_app(parts).test_client(), dispatcher, authority, clock, attempts)
