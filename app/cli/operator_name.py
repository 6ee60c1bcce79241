"""Who runs a command that is recorded. The name is a claim: Kvitto checks its form, and cannot check the person."""

import os
import pwd
from contextlib import suppress

import click

from app.domain.record_text import OPERATOR_LENGTH, record_problem

_HOW = "give your name with --operator, or in KVITTO_OPERATOR"
# Shells of accounts that belong to services: nobody logs in to them.
_NO_SHELLS = ("nologin", "false")


def _check(context: click.Context, option: click.Parameter, name: str | None) -> str | None:
    if name is None:
        return None
    name = name.strip()
    if problem := record_problem(name, OPERATOR_LENGTH):
        raise click.BadParameter(f"it {problem}; give a name of at most {OPERATOR_LENGTH} letters", context, option)
    return name


operator_option = click.option(
    "--operator",
    envvar="KVITTO_OPERATOR",
    show_envvar=True,
    metavar="NAME",
    callback=_check,
    help="Who you are, for the record. Default: the account that logged in, if it is a person's.",
)


def require_operator(name: str | None) -> str:
    """Return the name that was given, or that of the account that logged in.

    Raises:
        UsageError: None was given, and the account names nobody: it is a service's, or it has no name.
    """
    account = name or _account()
    if account is None:
        raise click.UsageError(f"it is not known who you are, and this is recorded: {_HOW}")
    if problem := record_problem(account, OPERATOR_LENGTH):
        raise click.UsageError(f"the name of your account {problem}: {_HOW}")
    return account


def _account() -> str | None:
    """Return the name of the account that logged in; None if nobody can log in to it, or if it has no name.

    The kernel keeps who logged in, through sudo and su. LOGNAME and USER are not read: anyone may set them.
    """
    names = []
    with suppress(OSError):
        names.append(os.getlogin())
    if os.getuid() == 0:
        names.append(os.environ.get("SUDO_USER", ""))
    with suppress(KeyError):
        names.append(pwd.getpwuid(os.getuid()).pw_name)
    # Others than root first: `root` may be several persons, or the root of a container.
    for each in sorted(filter(None, names), key=lambda found: found == "root"):
        with suppress(KeyError):
            if not pwd.getpwnam(each).pw_shell.endswith(_NO_SHELLS):
                return each
    return None
