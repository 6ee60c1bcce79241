"""Signs people in by OpenID Connect. From then on their session is the same as after a password.

A browser sends a cookie that is `SameSite=Strict` with no request that another site causes, and the way back from the
identity provider is one. So a second cookie, `Lax`, lasts from the way there to the way back, and a page of the console
begins the first request with the session.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hmac import compare_digest
from threading import BoundedSemaphore

from flask import make_response, redirect, render_template, request
from werkzeug.wrappers import Response

from app.console.access import Pages
from app.console.login import begin_session, local_path, show_form
from app.errors import SignInError
from app.oidc.issuer import CALLBACK_PATH, Issuer
from app.oidc.person import Person
from app.oidc.transaction import Transaction
from app.storage import console_users
from app.storage.connection import Connection
from app.storage.console_users import User
from config.oidc import OidcSettings
from config.settings import ConsoleSettings

_COOKIE = "kvitto_sign_in"
_COOKIE_SECONDS = 600
# The console has four threads. The others answer while the identity provider is silent.
_AT_ONCE = 2
_BACK = "Go back, and sign in again"
logger = logging.getLogger(__name__)


def add_routes(pages: Pages, current: Callable[[], ConsoleSettings]) -> None:
    """Add the way to the identity provider and the way back. `current` returns the settings, with the secret of now."""
    free = BoundedSemaphore(_AT_ONCE)

    @pages.get("/login/oidc", "open")
    def sign_in() -> Response:
        oidc, transaction = _oidc(current), Transaction.begin()
        try:
            with _one_of(free):
                answer = redirect(Issuer(oidc, current().authority).authorization_url(transaction), 303)
        except SignInError as error:
            return failed(error, oidc)
        value = f"{transaction.secret} {local_path(request.args.get('then', ''))}"
        _set_cookie(answer, value, _COOKIE_SECONDS, oidc)
        return answer

    @pages.get(CALLBACK_PATH, "open")
    def signed_in() -> Response:
        oidc = _oidc(current)
        secret, _, then = request.cookies.get(_COOKIE, "").partition(" ")
        transaction = Transaction(secret)
        try:
            _require_return(transaction)
            with _one_of(free):
                person = Issuer(oidc, current().authority).person(transaction, request.args.get("code", ""))
            with pages.connect() as connection:
                _require_own_name(connection, person)
                shown = render_template("signed_in.html", then=local_path(then), person=person)
                answer: Response = make_response(shown)
                user = User(person.name, person.role)
                begin_session(answer, connection, user, _is_secure(oidc), person.subject)
        except SignInError as error:
            answer = failed(error, oidc)
        _set_cookie(answer, "", 0, oidc)
        return answer

    def failed(error: SignInError, oidc: OidcSettings) -> Response:
        logger.warning(
            "sign_in_failed", extra={"reason": error.reason, "detail": error.detail, "client": request.remote_addr}
        )
        with pages.connect() as connection:
            return show_form(connection, oidc, str(error), 503 if error.reason.startswith("issuer-") else 403)


def _oidc(current: Callable[[], ConsoleSettings]) -> OidcSettings:
    found = current().oidc
    assert found is not None  # noqa: S101 - these routes exist with these settings only
    return found


@contextmanager
def _one_of(free: BoundedSemaphore) -> Iterator[None]:
    """Ask the identity provider, unless it keeps too many waiting already."""
    if not free.acquire(blocking=False):
        detail = "The identity provider is slow, and others are waiting for it"
        raise SignInError("issuer-busy", detail, "Try again in a moment")
    try:
        yield
    finally:
        free.release()


def _set_cookie(answer: Response, value: str, seconds: int, oidc: OidcSettings) -> None:
    """Set the cookie of one sign-in, or end it. The browser sends it on the way back alone."""
    answer.set_cookie(
        _COOKIE, value, seconds, path=CALLBACK_PATH, httponly=True, samesite="Lax",
        secure=_is_secure(oidc),
    )  # fmt: skip


def _is_secure(oidc: OidcSettings) -> bool:
    return oidc.console_url.startswith("https:")


def _require_return(transaction: Transaction) -> None:
    """Raise SignInError unless this browser began the sign-in that ends here, and the issuer gives a code."""
    if not transaction.secret:
        detail = "This browser has no sign-in under way: it took longer than ten minutes, or began at another address"
        raise SignInError("sign-in-expired", detail, _BACK)
    if not compare_digest(request.args.get("state", "").encode(), transaction.state.encode()):
        raise SignInError("sign-in-differs", "This answer is for another sign-in", _BACK)
    if "code" not in request.args:
        is_refusal = request.args.get("error") == "access_denied"
        detail = "does not let you in" if is_refusal else "could not sign you in"
        raise SignInError(
            "sign-in-refused", f"The identity provider {detail}", "Sign in again, or ask its administrator"
        )


def _require_own_name(connection: Connection, person: Person) -> None:
    """Raise SignInError if a user with a password has the same name: the access log could not distinguish them."""
    if console_users.find(connection, person.name):
        hint = "An administrator removes that user: kvitto users remove NAME"
        raise SignInError("name-taken", "A user with a password has your name", hint)
