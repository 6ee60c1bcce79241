"""Who may do what in the console: the rights of each role, sessions, and what each request must prove.

Each route names the right that it needs. Basic authentication with CONSOLE_PASSWORD is for machines, and opens
/metrics alone.
"""

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from hashlib import sha256
from typing import Any, Literal
from urllib.parse import urlsplit

from flask import Blueprint, Response, abort, g, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from app.console.ledger_reader import LedgerReader
from app.storage import console_users
from app.storage.connection import Connection
from app.storage.console_users import User
from config.console_roles import Role

Right = Literal["read", "search-persons", "download", "replay", "discard", "reveal", "read-log"]
# `open` needs no proof of who asks, `machine` the password for machines or a session.
Need = Right | Literal["open", "machine"]
RIGHTS: Mapping[Role, frozenset[Right]] = {
    "viewer": frozenset({"read"}),
    "operator": frozenset({"read", "search-persons", "download", "replay", "discard", "reveal", "read-log"}),
    "privacy": frozenset({"read", "search-persons", "download", "reveal", "read-log"}),
}
COOKIE = "kvitto_session"
View = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Session:
    """A person who is logged in. `cookie` is the secret that proves it."""

    user: User
    cookie: str

    @property
    def form_token(self) -> str:
        """What proves that a form is from a page of this session."""
        return hmac.new(self.cookie.encode(), b"form", sha256).hexdigest()

    def may(self, right: Right) -> bool:
        """Return whether the role of this person has a right."""
        return right in RIGHTS[self.user.role]


def digest(cookie: str) -> bytes:
    """Return what the ledger keeps of a cookie."""
    return sha256(cookie.encode()).digest()


class Pages:
    """The console's routes. A page is given a connection, once the request has proved the right that the page needs."""

    def __init__(self, ledger: LedgerReader, password: Callable[[], str]) -> None:
        """`password` returns that of machines, as it is now."""
        self.blueprint = Blueprint("pages", __name__)
        self.needs: dict[str, Need] = {}
        self.connect = ledger.connected
        self._password = password

    def get(self, rule: str, need: Need) -> Callable[[View], View]:
        """Add a page; what it shows needs a right."""
        return self._route(rule, need, "GET")

    def post(self, rule: str, need: Need) -> Callable[[View], View]:
        """Add an action; it needs a right, and comes from a form of this console."""
        return self._route(rule, need, "POST")

    def _route(self, rule: str, need: Need, method: str) -> Callable[[View], View]:
        def add(view: View) -> View:
            @wraps(view)
            def answer(**arguments: Any) -> Any:
                if method == "POST":
                    _require_same_origin()
                if need == "open" or (need == "machine" and self._is_machine()):
                    return view(**arguments)
                with self.connect() as connection:
                    g.session = self._session(connection)
                    if refusal := _refusal(need, method):
                        return refusal
                    return view(**arguments) if need == "machine" else view(connection, **arguments)

            self.needs[f"pages.{view.__name__}"] = need
            self.blueprint.add_url_rule(rule, view.__name__, answer, methods=[method])
            return answer

        return add

    def _is_machine(self) -> bool:
        given = (request.authorization.password or "") if request.authorization else ""
        return hmac.compare_digest(given.encode(), self._password().encode())

    @staticmethod
    def _session(connection: Connection) -> Session | None:
        cookie = request.cookies.get(COOKIE, "")
        reloads_itself = "HX-Request" in request.headers
        user = console_users.session_user(connection, digest(cookie), not reloads_itself) if cookie else None
        return Session(user, cookie) if user else None


def current() -> Session:
    """Return the session of this request, of a route that needs one."""
    found: Session = g.session
    return found


def _refusal(need: Need, method: str) -> AnyResponse | None:
    """Return why a request may not have what it asks for; None if it may."""
    if g.session is None and need == "machine":
        hint = "The password is CONSOLE_PASSWORD, with any user name.\n"
        return Response(hint, 401, {"WWW-Authenticate": 'Basic realm="kvitto"'}, content_type="text/plain")
    if g.session is None:
        if "HX-Request" in request.headers:
            return Response(status=401, headers={"HX-Refresh": "true"})
        asked = request.full_path.rstrip("?") if method == "GET" else "/"
        return redirect(url_for("pages.login", then=asked), 303)
    token = request.form.get("token", "").encode()
    if method == "POST" and not hmac.compare_digest(token, g.session.form_token.encode()):
        abort(403, "This form is not from a page of your session. Load the page again, then repeat.")
    if need not in RIGHTS[g.session.user.role] and need != "machine":
        abort(403, f"Your role, {g.session.user.role}, lacks the right “{need}”.")
    return None


def _require_same_origin() -> None:
    """Refuse a POST that another site had the browser send. A browser says whose page sends it."""
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    # An older browser names the address of the page at least.
    is_of_this_address = origin is None or urlsplit(origin).netloc == request.host
    if not (is_of_this_address if site is None else site == "same-origin"):
        abort(403, "This form was sent from another site.")
