"""Who runs a command that is recorded: the person must be known before anything is asked or changed."""

import os
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from app.cli.main import kvitto
from tests.support.kvitto_process import ROOT, run
from tests.support.servers import bare_environment

NOBODY = "00000000-0000-0000-0000-000000000000"
# The arguments of each command that is recorded.
RECORDED = {
    "reveal": (NOBODY, "--reason", "complaint 4711"),
    "export": ("--entity", "kompar/applications/1", "--reason", "complaint 4711"),
    "erase": ("--entity", "kompar/applications/1", "--reason", "complaint 4711"),
    "dead-letters replay": (NOBODY,),
    "dead-letters discard": (NOBODY, "--why", "complaint 4711"),
    "rejected readmit": ("--since", "2026-11-01"),
    "reseal": (),
    "retention apply": (),
    "deliveries accept": (NOBODY, "--reason", "complaint 4711"),
    "deliveries dismiss": (NOBODY, "--reason", "complaint 4711"),
    "audit": ("--accept-loss", NOBODY, "--reason", "complaint 4711"),
    "subscriptions register": ("kompar", "applications"),
    "subscriptions remove": ("kompar", "applications"),
    "subscriptions adopt": ("w-1",),
    "users add": ("ada", "--role", "viewer"),
    "users password": ("ada",),
    "users remove": ("ada",),
}
# What the others do: serve, look without opening a body in clear, or play the providers' side.
UNRECORDED = {
    "up", "demo", "ingest", "worker", "beat", "console", "migrate", "check", "health ingest", "health worker",
    "health beat", "health console", "dead-letters list", "dead-letters show", "rejected list", "rejected show",
    "deliveries suspected", "feed", "explain", "access-log", "retention show", "sql", "subscriptions list",
    "subscriptions verify", "users list", "sandbox send kompar", "sandbox send solaris", "sandbox serve",
}  # fmt: skip
UNNAMED, SERVICE = 12345, 65534  # a number without an entry in /etc/passwd, and `nobody`, to whom nobody logs in
EVERY = pytest.mark.parametrize("name", RECORDED)


def line(name: str) -> list[str]:
    """Return a complete command line of a recorded command."""
    return [*name.split(), *RECORDED[name]]


def run_as(user: int, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a user with no capability but to read this checkout, which may be in a closed folder."""
    kept = "-all,+dac_read_search"
    become = ["setpriv", "--reuid", f"{user}", "--regid", f"{user}", "--clear-groups", "--bounding-set", kept]
    become += ["--inh-caps", kept, "--ambient-caps", kept]
    environment = bare_environment() | {"LOGNAME": "ceo", "USER": "ceo", "SUDO_USER": "ceo"} | settings
    started = [*become, sys.executable, "-m", "app.cli", *arguments]
    return subprocess.run(started, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)


def leaves(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    """Yield every command that does something, by its whole name."""
    context = click.Context(command)
    if not isinstance(command, click.Group):
        yield name, command
        return
    for each in command.list_commands(context):
        found = command.get_command(context, each)
        assert found is not None
        yield from leaves(found, f"{name} {each}".strip())


def test_every_command_that_acts_on_what_is_kept_is_recorded() -> None:
    every = dict(leaves(kvitto, ""))
    recorded = {name for name, each in every.items() if "operator" in {option.name for option in each.params}}
    assert recorded == RECORDED.keys()
    assert every.keys() - recorded == UNRECORDED


@EVERY
def test_recorded_command_of_a_number_without_a_name_asks_who_it_is(name: str) -> None:
    assert os.getuid() == 0, "this test changes its user, so it needs root"
    done = run_as(UNNAMED, *line(name))
    assert done.returncode == 2, done.stderr
    assert done.stderr.endswith(
        "it is not known who you are, and this is recorded: give your name with --operator, or in KVITTO_OPERATOR\n"
    )


def test_recorded_command_of_a_service_asks_who_it_is() -> None:
    done = run_as(SERVICE, *line("reveal"))
    assert (done.returncode, "it is not known who you are" in done.stderr) == (2, True)


def test_recorded_command_with_an_operator_needs_no_account() -> None:
    done = run_as(UNNAMED, *line("reveal"), KVITTO_OPERATOR="Ada Lovelace", DATABASE_URL="")
    assert done.returncode == 78, done.stderr
    assert "DATABASE_URL: is not set" in done.stderr


@EVERY
@pytest.mark.parametrize(
    ("operator", "problem"),
    [
        ("", "is empty"),
        ("evil\nname", "holds a line break"),
        ("\x1b[2Jname", "another character that cannot be seen"),
        ("name\u202eeman", "another character that cannot be seen"),
        ("x" * 65, "is longer than 64 characters"),
        ("199001011239", "holds a national id"),
        ("Per 900101-1239", "holds a national id"),
        ("１９９００１０１１２３９", "holds a national id"),
    ],
    ids=("empty", "line", "escape", "direction", "long", "id", "short id", "wide id"),
)
def test_operator_of_a_wrong_form_is_rejected_and_not_repeated(name: str, operator: str, problem: str) -> None:
    done = run(*line(name), "--operator", operator, environment={})
    assert done.returncode == 2
    assert problem in done.stderr
    assert not operator or operator not in done.stdout + done.stderr


@pytest.mark.parametrize("reason", ["a\nb", "\x07", "x" * 501, "about 19811218-9876"])
def test_reason_of_a_wrong_form_is_rejected(reason: str) -> None:
    done = run("reveal", NOBODY, "--reason", reason, environment={})
    assert (done.returncode, "give one line without a national id" in done.stderr) == (2, True)


def test_check_of_subscriptions_reports_an_operator_of_a_wrong_form() -> None:
    done = run("check", "subscriptions", environment={"KVITTO_OPERATOR": "a\nb"})
    assert done.returncode == 78
    assert "KVITTO_OPERATOR" in done.stdout
