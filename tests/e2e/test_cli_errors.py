"""Commands report every mistake in one sentence, use colour on a terminal only, and end on Ctrl-C."""

import json
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx
import psycopg
import pytest

from app.sandbox.fake_solaris import EVENT_TYPES
from app.sandbox.kompar import encrypt
from tests.support import process_tree, servers
from tests.support.kvitto_process import BIND, ROOT, SECRETS, Running, command, run
from tests.support.providers.kompar_fixtures import KEY, TOKEN
from tests.support.servers import bare_environment, eventually
from tests.support.terminal import Terminal, terminal

NOBODY = "00000000-0000-0000-0000-000000000000"
NOWHERE = {"DATABASE_URL": "postgresql://kvitto@127.0.0.1:1/kvitto", "REDIS_URL": "redis://127.0.0.1:1/0"}
READERS = [
    ("audit",),
    ("deliveries", "suspected"),
    ("dead-letters", "list"),
    ("dead-letters", "show", NOBODY),
    ("dead-letters", "replay", "--all"),
]
READERS += [("explain", NOBODY), ("migrate",), ("migrate", "--dry-run")]


def failure(*arguments: str, environment: dict[str, str]) -> tuple[int, str]:
    """Run a command that must fail; return its status and standard error."""
    done = run(*arguments, environment=environment)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["nothing"], 2, "No such command 'nothing'"),
        (["adit"], 2, "Did you mean 'audit'?"),
        (["dead-letter", "list"], 2, "Did you mean 'dead-letters'?"),
        (["dead-letters", "lst"], 2, "Did you mean 'list'?"),
        (["sandbox", "send", "komp"], 2, "Did you mean 'kompar'?"),
        (["audit", "--josn"], 2, "Did you mean '--json'?"),
        (["audit", "extra"], 2, "unexpected extra argument"),
        (["up", "--concurrency", "0"], 2, "0 is not in the range x>=1"),
        (["worker", "--concurrency", "0"], 2, "0 is not in the range x>=1"),
        (["ingest", "--processes", "0"], 2, "0 is not in the range x>=1"),
        (["dead-letters", "list", "--limit", "-1"], 2, "-1 is not in the range x>=1"),
        (["dead-letters", "list", "--provider", "kompra"], 2, "'kompra' has no folder in app/providers"),
        (["dead-letters", "list", "--reason", "odd"], 2, "'odd' is not one of 'bad-envelope'"),
        (["dead-letters", "list", "--since", "yesterday"], 2, "write it like 2026-11-01 or 2026-11-01T08:00:00"),
        (["dead-letters", "show", "x"], 2, "'x' is not a valid UUID"),
        (["dead-letters", "show", NOBODY], 1, "is no dead letter; see: kvitto dead-letters list"),
        (["dead-letters", "replay", NOBODY], 1, "is no dead letter; see: kvitto dead-letters list"),
        (["dead-letters", "replay"], 2, "or --all of them"),
        (["dead-letters", "discard", NOBODY, "--why", "x"], 1, "is no dead letter; see: kvitto dead-letters list"),
        (["dead-letters", "discard", "--why", "x"], 2, "name a receipt, a reason, a provider or a time"),
        (["dead-letters", "discard", NOBODY], 2, "Missing option '--why'"),
        (["erase", "--reason", "x"], 2, "name a person with --person, an entity with --entity, or a receipt"),
        (["erase", "--person", "8112", "--reason", "x"], 2, "it is no national id; write it like 19811218-9876"),
        (["export", "--entity", "kompar/1", "--reason", "x"], 2, "write it like PROVIDER/TYPE/ID"),
        (["export", "--entity", "acme/orders/1", "--reason", "x"], 78, "PROVIDERS: lacks acme"),
        (["access-log", "--action", "look"], 2, "'look' is not one of 'reveal'"),
        (["dead-letters", "replay", "--all", "--reason", "invalid"], 2, "or --all of them"),
        (["deliveries", "accept", NOBODY, "--reason", "x"], 1, "has no receipt"),
        (["deliveries", "dismiss", NOBODY, "--reason", "x"], 1, "is no late retry"),
        (["deliveries", "accept", NOBODY, "--reason", " "], 2, "it is empty; give one line without a national id"),
        (["explain"], 2, "name a receipt, or a file with --request"),
        (["explain", NOBODY], 1, "no receipt"),
        (["explain", "--request", "/nowhere"], 2, "No such file or directory"),
        (["explain", "--request", "/"], 2, "Is a directory"),
        (["sandbox", "send", "kompar", "--applications", "-1"], 2, "-1 is not in the range x>=0"),
        (["sandbox", "send", "kompar", "--speed", "0"], 2, "0.0 is not in the range x>0"),
        (["sandbox", "send", "kompar", "--url", "127.0.0.1:8080"], 2, "address; write it like http://host:8080"),
        (["sandbox", "send", "kompar", "--url", "localhost"], 2, "'localhost' cannot be read as an address"),
        (["sandbox", "send", "solaris", "--url", "ftp://localhost"], 2, "is no http:// or https:// address"),
        (["sandbox", "send", "--rate", "1/s", "--url", "localhost:8080"], 2, "address; write it like http://host"),
        (["sandbox", "send", "--rate", "5"], 2, "'5' is no rate; write it like 200/s or 30/m"),
        (["sandbox", "send", "--seed", "2"], 2, "give a --rate, or one of the commands: kompar, solaris"),
        (["sandbox", "send", "--rate", "1/s", "kompar"], 2, "--rate goes without kompar"),
        (["sandbox", "send", "--rate", "1/s", "--duration", "2"], 2, "'2' is no duration; write it like 60s"),
        (["sandbox", "send", "--rate", "1/s", "--duration", "0s"], 2, "give a time above 0"),
        (
            ["sandbox", "send", "--rate", "1/s", "--weights", "letters=1"],
            2,
            "must weigh applications, decisions, solaris",
        ),
        (["sandbox", "send", "--rate", "1/s", "--fault", "sun=1%"], 2, "'sun' is not a fault; there are duplicate,"),
        (["sandbox", "send", "--rate", "1/s", *["--fault", "cut=60%"] * 2], 2, "come to more than 100%"),
        (["sandbox", "send", "--rate", "1/s", "--record", "/"], 2, "'/' is a directory"),
        (["audit", "--timeout", "5s"], 2, "--timeout goes with --against FILE"),
        (["audit", "--against", "/dev/null"], 1, "no attempts were recorded in /dev/null; name a file"),
        (["audit", "--against", "/nowhere"], 2, "'/nowhere' does not exist"),
        (["audit", "--against", "/dev/null", "--accept-loss", NOBODY, "--reason", "x"], 2, "--against goes without"),
        (["sandbox", "send", "solaris", "--url", "http://["], 2, "'http://[' cannot be read as an address"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_command_with_a_wrong_argument_reports_it(
    kvitto: Running, arguments: list[str], status: int, words: str
) -> None:
    found, error = failure("--data", str(kvitto.data), *arguments, environment={})
    assert (found, words in error) == (status, True), error


@pytest.mark.parametrize("arguments", READERS, ids=" ".join)
def test_command_without_servers_reports_how_to_start_them(arguments: tuple[str, ...]) -> None:
    status, error = failure(*arguments, environment=SECRETS | NOWHERE)
    assert status == 1
    assert "postgres-unavailable: no connection. Start Postgres" in error
    assert "DATABASE_URL" in error
    assert "kvitto up" not in error  # the operator named servers of their own


@pytest.mark.parametrize("arguments", READERS[:5], ids=" ".join)
def test_command_without_a_schema_names_kvitto_migrate(
    arguments: tuple[str, ...], postgres_server: str, valkey_server: str
) -> None:
    environment = SECRETS | {"DATABASE_URL": postgres_server, "REDIS_URL": valkey_server}
    status, error = failure(*arguments, environment=environment)
    assert status == 78
    assert "kvitto migrate" in error


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"DATABASE_URL": "{postgres}/nowhere"}, 1, "no such database or user"),
        ({"DATABASE_URL": "{nobody}/kvitto"}, 1, "no such database or user"),
        ({"DATABASE_URL": "{dashboard}/kvitto"}, 78, "names a role that may not do this"),
        ({"DATABASE_URL": "postgresql://x:hidden@["}, 78, "special characters as %XX"),
        ({"DATABASE_URL": "postgresql://x:hid/den@host/x"}, 78, "names a host or a port that cannot be called"),
        ({"REDIS_URL": "redis://127.0.0.1:1/0"}, 1, "redis-unreachable. Start Redis"),
        ({"REDIS_URL": "unix:///nowhere"}, 1, "redis-unreachable. Start Redis"),
        ({"REDIS_URL": "redis://x:hid/den@host/0"}, 78, "special characters as %XX"),
        ({"REDIS_URL": "http://x:hid@host/0"}, 78, "Write it like redis://user:password@host:6379/0"),
        ({"REDIS_URL": "{redis}/999"}, 1, "Correct REDIS_URL"),
        ({"REDIS_URL": "{unknown}/0"}, 1, "redis-refuses: wrong user or password. Correct REDIS_URL"),
    ],
)
def test_wrong_address_is_reported_without_its_password(
    kvitto: Running, change: dict[str, str], status: int, words: str
) -> None:
    postgres, redis = kvitto.database.rpartition("/")[0], kvitto.redis.rpartition("/")[0]
    places = {
        "postgres": postgres,
        "nobody": postgres.replace("kvitto@", "nobody@"),
        "dashboard": postgres.replace("kvitto@", "kvitto_dashboard@"),
        "redis": redis,
        "unknown": redis.replace("://", "://nobody:hidden@"),
    }
    addresses = {name: value.format(**places) for name, value in change.items()}
    found, error = failure("audit", environment=kvitto.environment | addresses)
    assert (found, words in error) == (status, True), error
    assert "hid" not in error


def test_wrong_password_of_postgres_is_reported(tmp_path: Path) -> None:
    rules = tmp_path / "pg_hba.conf"
    rules.write_text("host all kvitto 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n")
    with servers.postgres(tmp_path, "-c", f"hba_file={rules}") as dsn:
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("CREATE ROLE locked LOGIN PASSWORD 'right'")
        wrong = dsn.replace("kvitto@", "locked:hidden@")
        for address in (wrong, dsn.replace("kvitto@", "locked@")):
            status, error = failure("dead-letters", "list", environment={"DATABASE_URL": address})
            assert status == 1
            assert "wrong user or password" in error
            assert "hidden" not in error


def test_data_folder_that_cannot_be_used_is_reported(tmp_path: Path) -> None:
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "environment.json").write_text("{")
    (tmp_path / "odd" / "environment.json").mkdir(parents=True)
    (tmp_path / "blocked").mkdir()
    (tmp_path / "blocked" / "logs").touch()
    for folder, how in (("damaged", "read"), ("odd", "read")):
        status, error = failure("--data", str(tmp_path / folder), "audit", environment={})
        assert (status, f"{folder} cannot be {how}" in error, "--data" in error) == (1, True, True)
    for path in (tmp_path / "blocked", Path("/proc/kvitto")):
        status, error = failure("up", "--data", str(path), environment=BIND)
        assert (status, "cannot be written" in error, "--data" in error) == (1, True, True)


@pytest.mark.parametrize("arguments", [("audit",), ("sandbox", "send", "kompar")], ids=" ".join)
def test_command_on_an_unused_data_folder_names_kvitto_up(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    status, error = failure("--data", str(tmp_path / "none"), *arguments, environment={})
    assert status == 78
    assert f"Nothing was served from {tmp_path}/none yet: run kvitto up" in error
    for name in ("DATABASE_URL_FILE", "REDIS_URL"):
        given = {name: "/nowhere", "KOMPAR_TOKENS": ""}
        status, error = failure("--data", str(tmp_path / "none"), *arguments, environment=given)
        assert (status, "kvitto up" in error) == (78, False)


def test_subscriptions_without_an_api_names_the_sandbox(tmp_path: Path) -> None:
    arguments = "--data", str(tmp_path), "subscriptions", "verify", "kompar", "applications"
    status, error = failure(*arguments, environment={})
    assert (status, "KOMPAR_API_USERNAME: is not set" in error) == (78, True)
    assert "start `kvitto sandbox serve` on this data folder" in error
    status, error = failure(*arguments, environment={"KOMPAR_API_USERNAME": "a", "KOMPAR_API_PASSWORD": "b"})
    assert (status, "run kvitto up" in error, "sandbox" in error) == (78, True, False)


@pytest.mark.parametrize(
    ("provider", "secrets", "words"),
    [
        ("kompar", {"KOMPAR_KEYS": "a=short"}, "KOMPAR_KEYS: holds a key that is not 32 characters long"),
        ("kompar", {"KOMPAR_KEYS_FILE": "/nowhere"}, "KOMPAR_KEYS_FILE: cannot be read"),
        ("solaris", {"SOLARIS_SECRETS": "nolabel"}, "item 1 is not label=value"),
        ("solaris", {"SOLARIS_SECRETS": f"OTHER={'x' * 16}"}, "lacks FREELANCER_CREDIT_LINE_APPLICATION"),
    ],
)
def test_sandbox_with_wrong_secrets_reports_them(
    kvitto: Running, provider: str, secrets: dict[str, str], words: str
) -> None:
    status, error = failure("--data", str(kvitto.data), "sandbox", "send", provider, environment=secrets)
    assert (status, words in error) == (78, True), error


def test_sandbox_with_https_for_http_reports_the_right_address(kvitto: Running) -> None:
    url = kvitto.ingest.replace("http://", "https://")
    status, error = failure("--data", str(kvitto.data), "sandbox", "send", "kompar", "--url", url, environment={})
    assert (status, f"{url} answers, but not by HTTPS: write {kvitto.ingest}" in error) == (1, True), error


@pytest.mark.parametrize(
    ("sending", "change", "credential"),
    [
        (
            ["kompar", "--applications", "2", "--speed", "1e6"],
            {"KOMPAR_TOKENS": "wrong-token-0123"},
            "token in KOMPAR_TOKENS",
        ),
        (
            ["--rate", "5/s", "--duration", "1s", "--weights", "solaris=1", "--timeout", "0s"],
            {"SOLARIS_SECRETS": ",".join(f"{event_type}=wrong-secret-0123" for event_type in EVENT_TYPES)},
            "secret in SOLARIS_SECRETS",
        ),
    ],
    ids=["kompar", "solaris"],
)
def test_sandbox_with_an_unknown_credential_reports_it_once(
    kvitto: Running, sending: list[str], change: dict[str, str], credential: str
) -> None:
    done = run("--data", str(kvitto.data), "sandbox", "send", *sending, environment=change)
    assert done.stderr.count(f"401: the receiver does not know the {credential}; give what it has") == 1
    assert done.stderr.count("401: ") == 1


def test_sandbox_with_a_deliberately_wrong_credential_reports_nothing(kvitto: Running) -> None:
    options = ("--rate", "5/s", "--duration", "1s", "--weights", "applications=1", "--fault", "wrong-token=100%")
    done = run("--data", str(kvitto.data), "sandbox", "send", *options, "--timeout", "0s", environment={})
    assert "statuses      401: " in done.stdout
    assert "does not know" not in done.stderr


def test_console_on_a_taken_address_reports_it(kvitto: Running) -> None:
    taken = {"CONSOLE_BIND": kvitto.console.removeprefix("http://")}
    status, error = failure("console", environment=kvitto.environment | taken)
    assert status == 78
    assert "CONSOLE_BIND: cannot be bound (Address already in use). Free the address or name another." in error


def test_help_shows_every_summary_in_full() -> None:
    assert "..." not in run("--help", environment={}).stdout.replace("[ARGS]...", "")


def test_table_on_a_terminal_is_coloured_and_aligned(kvitto: Running) -> None:
    with terminal("--data", str(kvitto.data), "audit", environment={}) as shown:
        assert shown.end() == 0
    assert "\x1b[1m" in shown.text
    assert "\x1b[32madds up" in shown.text
    plain = run("--data", str(kvitto.data), "audit", environment={})
    assert "\x1b" not in plain.stdout + plain.stderr
    header, first, *_ = plain.stdout.splitlines()
    end = header.index("appended") + len("appended")
    assert first[end - 1].isdigit()
    assert first[end] == " "


def test_no_color_keeps_colours_out(kvitto: Running) -> None:
    with terminal("--data", str(kvitto.data), "audit", environment={"NO_COLOR": "1"}) as shown:
        assert shown.end() == 0
    assert "adds up" in shown.text
    assert "\x1b[32m" not in shown.text
    assert "\x1b[1m" not in shown.text


def test_progress_bar_is_shown_on_a_terminal_only(kvitto: Running) -> None:
    sent = ("--data", str(kvitto.data), "sandbox", "send", "solaris", "--credit-lines", "1")
    with terminal(*sent, environment={}) as shown:
        assert shown.end() == 0
    assert "100%" in shown.text
    assert "tries:" in shown.text
    plain = run(*sent, environment={})
    assert plain.stderr == ""
    assert plain.stdout.count("\n") == 1


def test_control_characters_of_a_provider_are_escaped(kvitto: Running) -> None:
    body = encrypt({"application_id": "[/red]\x1b[31m:smile:", "[bold]\x07": 1}, KEY)
    receipt = str(kvitto.post("applications", body).json()["receipt"])
    kvitto.outcome(receipt)
    done = kvitto.run("explain", receipt)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    assert r"[/red]\x1b[31m:smile:" in done.stdout
    assert r"[bold]\x07" in done.stdout


@pytest.mark.parametrize("arguments", ["--help", "audit", "audit --json", "dead-letters list"])
def test_closed_pipe_is_no_error(kvitto: Running, arguments: str) -> None:
    line = f'"$@" --data {kvitto.data} {arguments} | true'
    done = subprocess.run(
        ["bash", "-c", line, "-", *command()], capture_output=True, text=True, check=False, env=bare_environment()
    )
    assert done.stderr == ""


def test_dead_letters_beyond_the_limit_are_hinted_at_and_a_replay_can_be_interrupted(empty_kvitto: Running) -> None:
    receipts = [str(empty_kvitto.post("decisions", b"no JSON").json()["receipt"]) for _ in range(300)]
    empty_kvitto.outcome(receipts[-1])
    listed = empty_kvitto.run("dead-letters", "list", "--limit", "2", "--json")
    assert len(json.loads(listed.stdout)) == 2
    assert "the oldest 2" in listed.stderr
    replay = ("--data", str(empty_kvitto.data), "dead-letters", "replay", "--all")
    with terminal(*replay, environment={}) as shown:
        shown.read(until="[1-9]%")
        shown.process.send_signal(signal.SIGINT)
        assert shown.end() == 130
    assert "became: " in shown.text
    assert "interrupted; the same command replays the rest" in shown.text
    assert "Traceback" not in shown.text


def test_sandbox_ends_on_ctrl_c(kvitto: Running) -> None:
    wrong = {"KOMPAR_TOKENS": f"not-{TOKEN}"}
    with terminal("--data", str(kvitto.data), "sandbox", "send", "kompar", environment=wrong) as shown:
        shown.read(until="answered 401; next try in")
        shown.process.send_signal(signal.SIGINT)
        assert shown.end() == 1
    assert "Aborted!" in shown.text
    assert "Traceback" not in shown.text


def test_demo_that_is_stopped_stops_what_it_started(tmp_path: Path) -> None:
    with terminal("demo", environment=BIND | {"TMPDIR": str(tmp_path)}) as shown:
        shown.read(until="kvitto ready")
        assert_ends(shown, signal.SIGTERM, 1, tmp_path)


def test_demo_on_a_terminal_shows_what_arrived_and_where_the_console_is_until_ctrl_c(tmp_path: Path) -> None:
    with terminal("demo", environment=BIND | {"TMPDIR": str(tmp_path)}) as shown:
        shown.read(until="Ctrl-C ends it")
        assert [words for words in ("duplicate", "wrong-key", "kompar", "adds up") if words not in shown.text] == []
        found = re.search(r"console is at (http://\S+) \(user demo, password (\S+)\)", shown.text)
        assert found
        form = {"name": "demo", "password": found[2]}
        assert "Log out" in httpx.post(f"{found[1]}/login", data=form, timeout=60, follow_redirects=True).text
        assert_ends(shown, signal.SIGINT, 0, tmp_path)


def assert_ends(demo: Terminal, how: signal.Signals, status: int, folder: Path) -> None:
    """Signal a demo; it ends with a status, and leaves no process and no file."""
    started = process_tree.below(demo.process.pid)
    demo.process.send_signal(how)
    assert demo.end() == status
    assert "Traceback" not in demo.text
    eventually(lambda: not [pid for pid in started if process_tree.is_running(pid)], "all of it ended")
    assert list(folder.glob(f"{tempfile.gettempprefix()}*")) + list(folder.glob("kvitto-demo-*")) == []


def test_unexpected_error_is_one_line_with_its_type_and_place() -> None:
    broken = "import app.cli.main as cli; cli.COMMANDS['audit'] = ('app.cli.missing:audit', '')"
    code = f"import sys; {broken}; from app.cli.__main__ import main; sys.argv[1:] = ['audit']; main()"
    line = [sys.executable, "-c", code]
    done = subprocess.run(line, capture_output=True, text=True, check=False, env=bare_environment(), cwd=ROOT)
    assert (done.returncode, done.stdout) == (1, "")
    place = rf"{ROOT}/app/cli/main.py:[0-9]+ in get_command"
    assert re.fullmatch(rf"kvitto: unexpected ModuleNotFoundError at {place}; please report it\n", done.stderr)
