"""`kvitto users`: who may log in to the console, and with which role."""

import secrets
import sys
from contextlib import AbstractContextManager

import click
from werkzeug.security import generate_password_hash

from app.cli.operator_name import operator_option, require_operator
from app.cli.output import print_rows
from app.cli.shared_options import json_option
from app.domain.record_text import OPERATOR_LENGTH, record_problem
from app.storage import console_users
from app.storage.connection import Connection, session
from app.storage.console_users import User
from config.console_roles import ROLES, Role
from config.settings import LedgerSettings

_LISTED = ("name", "role", "created_at", "seen_at")
_SHORTEST = 12
_password_option = click.option(
    "--stdin", "from_input", is_flag=True, help=f"Read the password, {_SHORTEST} characters or more, from the input."
)


def _connect() -> AbstractContextManager[Connection]:
    return session(LedgerSettings.load().database_url, "users")


def _name(_context: click.Context, _argument: click.Parameter, name: str) -> str:
    if problem := record_problem(name, OPERATOR_LENGTH):
        raise click.BadParameter(f"it {problem}; give a name of at most {OPERATOR_LENGTH} letters")
    return name


@click.group(epilog="Example: kvitto users list")
def users() -> None:
    """Add, list and remove users of the console, as the schema's owner.

    A viewer looks. An operator also replays, discards and reveals. Who answers for privacy (privacy) looks, reveals,
    and finds persons; both read the access log.
    """


@users.command("list", epilog="Example: kvitto users list --json")
@json_option
def list_(as_json: bool) -> None:
    """List all users, and who is signed in from the identity provider: those were not created here."""
    with _connect() as connection:
        print_rows(console_users.select(connection), _LISTED, as_json, empty="no users; see: kvitto users add --help")


@users.command(epilog="Example: kvitto users add ada --role operator")
@click.argument("name", callback=_name)
@click.option("--role", type=click.Choice(ROLES), required=True, help="What the user may do.")
@_password_option
@operator_option
def add(name: str, role: Role, from_input: bool, operator: str | None) -> None:
    """Add a user; print the password that was made, once."""
    who = require_operator(operator)
    with _connect() as connection:
        if console_users.find(connection, name):
            raise click.ClickException(f"{name} exists; for another password: kvitto users password {name}")
        _put(connection, User(name, role), from_input, who)


@users.command(epilog="Example: kvitto users password ada")
@click.argument("name", callback=_name)
@_password_option
@operator_option
def password(name: str, from_input: bool, operator: str | None) -> None:
    """Give a user another password, and end the user's sessions."""
    who = require_operator(operator)
    with _connect() as connection:
        found = console_users.find(connection, name)
        if found is None:
            raise click.ClickException(f"there is no user {name}; see: kvitto users list")
        _put(connection, found[0], from_input, who)


@users.command(epilog="Example: kvitto users remove ada")
@click.argument("name", callback=_name)
@operator_option
def remove(name: str, operator: str | None) -> None:
    """Remove a user, and end all sessions of this name, also those from the identity provider."""
    who = require_operator(operator)
    with _connect() as connection:
        if not console_users.remove(connection, name, who):
            raise click.ClickException(f"there is no user {name}; see: kvitto users list")
    click.echo(f"removed {name}")


def put(connection: Connection, user: User, operator: str, chosen: str | None = None) -> str:
    """Add a user, or replace the password and the role of one; return the password, made if none was chosen."""
    password = secrets.token_urlsafe(15) if chosen is None else chosen
    console_users.put(connection, user, generate_password_hash(password, "scrypt"), operator)
    return password


def _put(connection: Connection, user: User, from_input: bool, operator: str) -> None:
    chosen = sys.stdin.readline().strip() if from_input else None
    if chosen is not None and len(chosen) < _SHORTEST:
        raise click.ClickException(f"a password has {_SHORTEST} characters or more")
    password = put(connection, user, operator, chosen)
    click.echo(f"{user.name} logs in as {user.role}")
    if chosen is None:
        click.echo(f"password: {password}")
