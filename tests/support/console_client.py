"""A person who is logged in to the console, without a browser."""

import html
from dataclasses import dataclass
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app.console.access import COOKIE, Session, digest
from app.console.app import create_app
from app.storage import console_users
from app.storage.connection import connect
from app.storage.console_users import User
from config.console_roles import Role
from tests.support.kvitto_process import Running
from tests.support.metrics import NO_REDIS, console_settings


def as_console(database: str) -> str:
    """Return the address of a database in the role of the console."""
    return database.replace("//kvitto@", "//kvitto_console@")


@dataclass(frozen=True, slots=True)
class Person:
    """A client of the console with a session."""

    client: FlaskClient
    session: Session

    def get(self, path: str, status: int = 200) -> str:
        """Return a page, whose status must be this."""
        answer = self.client.get(path)
        assert answer.status_code == status, answer.text
        return answer.text

    def post(self, path: str, **fields: Any) -> TestResponse:
        """Send a form as a page of this session does."""
        headers = {"Sec-Fetch-Site": "same-origin"}
        return self.client.post(path, data={"token": self.session.form_token} | fields, headers=headers)


def begin_session(database: str, role: Role) -> Session:
    """Begin the session of a new user of a role."""
    session = Session(User(f"{role}-of-test", role), f"cookie-of-{role}")
    with connect(database, "test") as connection:
        console_users.put(connection, session.user, "none", "test")
        console_users.begin_session(connection, session.user, digest(session.cookie))
    return session


def overview(kvitto: Running) -> str:
    """Return the text of the first page of a console that runs."""
    cookie = f"{COOKIE}={begin_session(kvitto.database, 'viewer').cookie}"
    return html.unescape(kvitto.client.get(kvitto.console, headers={"Cookie": cookie}).text)


def log_in(database: str, role: Role = "operator", redis: str = NO_REDIS) -> Person:
    """Return a person of a role, in a session that has begun; the console runs in its own role of Postgres."""
    session = begin_session(database, role)
    client = create_app(lambda: console_settings(as_console(database), redis)).test_client()
    client.set_cookie(COOKIE, session.cookie)
    return Person(client, session)
