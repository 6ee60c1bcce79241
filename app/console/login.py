"""Logs people in and out of the console, and slows down who guesses passwords."""

import logging
import secrets
import time
from collections.abc import Callable
from functools import cache
from threading import Lock
from urllib.parse import urlencode

from flask import make_response, redirect, render_template, request, url_for
from werkzeug.security import check_password_hash, generate_password_hash
from werkzeug.wrappers import Response

from app.console.access import COOKIE, Pages, current, digest
from app.storage import console_users
from app.storage.connection import Connection
from app.storage.console_users import User
from config.oidc import OidcSettings

# So many failures are free; each further one doubles the wait, to a limit. Failures are forgotten after a while.
_FREE, _LONGEST_WAIT, _REMEMBERED = 5, 300.0, 3600.0
_MOST_KEYS = 10_000
logger = logging.getLogger(__name__)


class Throttle:
    """Makes who guesses wait: by user name, and by address."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: dict[str, tuple[int, float]] = {}

    def seconds(self, *keys: str) -> float:
        """Return how long the next attempt has to wait."""
        return max(self._seconds(key) for key in keys)

    def fail(self, *keys: str) -> None:
        """Count a failure."""
        now = self._clock()
        if len(self._failures) >= _MOST_KEYS - len(keys):
            newest = sorted(self._failures.items(), key=lambda item: item[1][1])[_MOST_KEYS // 2 :]
            self._failures = dict(newest)
        for key in keys:
            self._failures[key] = self._failures.get(key, (0, 0.0))[0] + 1, now

    def succeed(self, name: str) -> None:
        """Forget the failures of a name, whose owner has proved it; those of an address stay."""
        self._failures.pop(name, None)

    def _seconds(self, key: str) -> float:
        count, last = self._failures.get(key, (0, 0.0))
        passed = self._clock() - last
        if count < _FREE or passed > _REMEMBERED:
            return 0.0
        return max(min(2.0 ** (count - _FREE + 1), _LONGEST_WAIT) - passed, 0.0)


def add_routes(pages: Pages, oidc: OidcSettings | None) -> None:
    """Add the form, the login and the logout. With `oidc`, the form also leads to the identity provider."""
    throttle, one_at_a_time = Throttle(), Lock()  # each hash takes 32 MB and a tenth of a second

    @pages.get("/login", "open")
    def login() -> Response:
        with pages.connect() as connection:
            return show_form(connection, oidc)

    @pages.post("/login", "open")
    def log_in() -> Response:
        name, password = request.form.get("name", ""), request.form.get("password", "")
        keys = f"name {name}", f"address {request.remote_addr}"
        with one_at_a_time, pages.connect() as connection:
            found = console_users.find(connection, name)
            # A name that nobody has may be a password in the wrong field.
            context = {"client": request.remote_addr, "user": found[0].name if found else None}
            if wait := throttle.seconds(*keys):
                logger.warning("login_throttled", extra=context | {"wait_seconds": round(wait)})
                return show_form(connection, oidc, f"Too many attempts. Try again in {wait:.0f} s.", 429)
            is_right = check_password_hash(found[1] if found else _hash_of_nobody(), password)
            if not (found and is_right):
                throttle.fail(*keys)
                logger.warning("login_failed", extra=context)
                return show_form(connection, oidc, "User name or password is wrong.", 403)
            throttle.succeed(keys[0])
            answer = redirect(local_path(request.form.get("then", "")), 303)
            begin_session(answer, connection, found[0], _is_secure())
        return answer

    @pages.post("/logout", "read")
    def log_out(connection: Connection) -> Response:
        console_users.end_session(connection, current().user, digest(current().cookie))
        answer = redirect(url_for("pages.login"), 303)
        answer.delete_cookie(COOKIE, samesite="Strict")
        return answer


def begin_session(
    answer: Response, connection: Connection, user: User, is_secure: bool, subject: str | None = None
) -> None:
    """Begin the session of a person who has proved who it is, and give the answer its cookie.

    `is_secure` says whether the person reaches the console by TLS. `subject` is how the identity provider identifies
    a person who signed in there; None after a password.
    """
    cookie = secrets.token_urlsafe(32)
    console_users.begin_session(connection, user, digest(cookie), subject)
    answer.set_cookie(COOKIE, cookie, httponly=True, samesite="Strict", secure=is_secure)


def show_form(
    connection: Connection, oidc: OidcSettings | None, problem: str | None = None, status: int = 200
) -> Response:
    """Return the form with a problem: the link to the identity provider, and fields for a password.

    The fields are left out while nobody has a password, and all people sign in at the provider.
    """
    has_users = console_users.exist(connection)
    then = local_path(request.values.get("then", ""))
    link = f"{oidc.console_url}/login/oidc?{urlencode({'then': then})}" if oidc else None
    shown = render_template(
        "login.html", problem=problem, has_users=has_users, then=then, link=link, host=oidc.host if oidc else None
    )
    return make_response(shown, status)


def _is_secure() -> bool:
    """Return whether the person reaches the console by TLS."""
    return request.is_secure or request.headers.get("X-Forwarded-Proto") == "https"


def local_path(path: str) -> str:
    """Return a path of this console, whatever a request names."""
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) else "/"


@cache
def _hash_of_nobody() -> str:
    """Return a hash that is compared for an unknown name, so that the answer takes as long."""
    return generate_password_hash(secrets.token_hex(), "scrypt")
