"""`kvitto subscriptions`, against fake APIs with prepared answers."""

import json
import re
import signal
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from tests.support.fake_api import CUT_OFF, HANGS, Answer, FakeApi, fake_api
from tests.support.kvitto_process import command, run
from tests.support.servers import bare_environment, eventually
from tests.support.terminal import terminal

TOKEN = "bearer-token-of-the-api"
PASSWORD = "password-of-the-lender"
CLIENT_SECRET = "client-secret-of-the-lender"
SHOWN_ONCE = "0123456789abcdef-shown-once"
NEVER_SEEN = (TOKEN, PASSWORD, CLIENT_SECRET, SHOWN_ONCE)
FINE = Answer(200, {"success": True})
ALREADY = Answer(404, {"success": False, "message": "You have already registered applications webhook."})
EVENT = "INCOMING_REJECTED_TRANSACTION"
HERE = "https://lender.example/webhooks/kompar/applications"
THERE = "https://lender.example/webhooks/solaris"
# What is tried on one machine, at the providers themselves.
LOOPBACK = {"PUBLIC_URL": "https://localhost:8080", "KOMPAR_API_URL": "", "SOLARIS_API_URL": ""}


@dataclass(slots=True)
class Lender:
    """Who runs the commands, with settings of its own and nothing else."""

    api: FakeApi
    folder: Path
    database: str
    environment: dict[str, str] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)

    @property
    def secrets(self) -> Path:
        return self.folder / "solaris_secrets"

    def run(self, *arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        """Run a command; no secret may be in what it says."""
        done = run("subscriptions", *arguments, environment=self.environment)
        said = done.stdout + done.stderr
        assert done.returncode == status, said
        assert "Traceback" not in said
        assert [secret for secret in NEVER_SEEN if secret in said] == []
        return done

    def refused(self, *arguments: str, status: int = 1) -> str:
        return self.run(*arguments, status=status).stderr

    def rows(self) -> list[dict[str, Any]]:
        """Return what is kept, in the worker's role; no secret may be in it."""
        with psycopg.connect(self.environment["DATABASE_URL"], row_factory=dict_row) as connection:
            rows = connection.execute("SELECT * FROM kvitto.subscriptions ORDER BY requested_at").fetchall()
        assert [secret for secret in NEVER_SEEN if secret in str(rows)] == []
        return rows

    def logged(self) -> list[tuple[Any, ...]]:
        """Return action, operator, role, provider and subject of what the access log says."""
        owner = self.environment["DATABASE_URL"].replace("//kvitto_worker@", "//kvitto@")
        query = "SELECT action, operator, role, provider, subject FROM kvitto.access_log ORDER BY number"
        with psycopg.connect(owner) as connection:
            rows = connection.execute(query).fetchall()
        assert [secret for secret in NEVER_SEEN if secret in str(rows)] == []
        return rows

    def states(self) -> list[str]:
        return [row["state"] for row in self.rows()]


@pytest.fixture
def lender(tmp_path: Path, database: str) -> Iterator[Lender]:
    with fake_api(tmp_path / "api") as api:
        api.answers["GET /kompar/token"] = [Answer(200, {"success": True, "token": TOKEN, "token_type": "Bearer"})]
        api.answers["POST /solaris/oauth2/token"] = [Answer(200, {"access_token": TOKEN, "token_type": "Bearer"})]
        found = Lender(api, tmp_path, database)
        found.environment |= {
            "DATABASE_URL": database.replace("//kvitto@", "//kvitto_worker@"),
            "PUBLIC_URL": "https://lender.example",
            "KVITTO_OPERATOR": "Grace",
            "CA_FILE": api.authority,
            "KOMPAR_API_URL": f"{api.url}/kompar/",
            "KOMPAR_API_USERNAME": "a-lender",
            "KOMPAR_API_PASSWORD": PASSWORD,
            "SOLARIS_API_URL": f"{api.url}/solaris",
            "SOLARIS_AUTH_URL": f"{api.url}/solaris",
            "SOLARIS_CLIENT_ID": "a-client",
            "SOLARIS_CLIENT_SECRET": CLIENT_SECRET,
            "SOLARIS_SECRETS_FILE": str(found.secrets),
        }
        yield found


def made(reference: str = "w-1", secret: str = SHOWN_ONCE) -> Answer:
    return Answer(201, {"id": reference, "event_type": EVENT, "url": THERE, "secret": secret})


def listed(*references: str, url: str = THERE) -> Answer:
    return Answer(200, [{"id": each, "event_type": EVENT, "url": url, "secret": None} for each in references])


def test_register_uses_a_token_and_records_the_subscription(lender: Lender) -> None:
    lender.api.answers["POST /kompar/webhooks/applications"] = [FINE]
    done = lender.run("register", "kompar", "applications")
    assert f"kompar delivers applications to {HERE} from now on" in done.stdout
    assert "kvitto subscriptions verify kompar applications" in done.stdout
    token, post = lender.api.calls
    assert token.headers["Authorization"].startswith("Basic ")
    assert post.headers["Authorization"] == f"Bearer {TOKEN}"
    assert post.document == {"url": HERE}
    (row,) = lender.rows()
    assert (row["state"], row["url"]) == ("active", HERE)
    assert lender.logged() == [
        ("subscription-requested", "Grace", "kvitto_worker", "kompar", f"applications to {HERE}")
    ]
    assert row["requested_at"] < row["activated_at"]


@pytest.mark.parametrize("status", [400, 404])
def test_register_reports_a_refusal_with_either_status(lender: Lender, status: int) -> None:
    refusal = Answer(status, {"success": False, "message": "Please use valid url."})
    lender.api.answers["POST /kompar/webhooks/applications"] = [refusal]
    assert f"answers {status}: Please use valid url. Correct" in lender.refused("register", "kompar", "applications")
    assert [(row["state"], row["reason"]) for row in lender.rows()] == [("failed", "api-refused")]


def test_register_reports_a_refusal_with_status_200(lender: Lender) -> None:
    answer = Answer(200, {"success": False, "message": "not today"})
    lender.api.answers["POST /kompar/webhooks/applications"] = [answer]
    assert "refused: not today" in lender.refused("register", "kompar", "applications")
    assert lender.states() == ["failed"]


@pytest.mark.parametrize("status", [400, 404])
def test_register_of_a_second_webhook_names_the_replace_option(lender: Lender, status: int) -> None:
    already = Answer(status, ALREADY.document)
    lender.api.answers["POST /kompar/webhooks/applications"] = [already]
    assert "--replace" in lender.refused("register", "kompar", "applications")
    assert not [line for line in lender.api.lines if line.startswith("DELETE")]


def test_register_with_replace_removes_the_former_webhook(lender: Lender) -> None:
    lender.api.answers["POST /kompar/webhooks/applications"] = [FINE, ALREADY, FINE]
    lender.api.answers["DELETE /kompar/webhooks/applications"] = [FINE]
    lender.run("register", "kompar", "applications", "--url", "https://lender.example/old", "--allow-any-path")
    lender.api.calls.clear()
    lender.run("register", "kompar", "applications", "--replace")
    assert [line.split()[0] for line in lender.api.lines] == ["GET", "POST", "DELETE", "POST"]
    assert [(row["state"], row["url"]) for row in lender.rows()] == [
        ("deleted", "https://lender.example/old"), ("active", HERE),
    ]  # fmt: skip


def test_register_with_replace_removes_nothing_if_the_url_is_refused(lender: Lender) -> None:
    lender.api.answers["POST /kompar/webhooks/applications"] = [Answer(404, {"message": "Please use valid url."})]
    lender.refused("register", "kompar", "applications", "--replace")
    assert not [line for line in lender.api.lines if line.startswith("DELETE")]


@pytest.mark.parametrize(
    ("second", "reported", "state"),
    [
        (Answer(404, {"message": "Please use valid url."}), "NOTHING IS registered for applications now", "failed"),
        (CUT_OFF, "it is not known whether anything is registered for applications now", "pending"),
    ],
)
def test_register_with_replace_that_fails_half_way_reports_it(
    lender: Lender, second: Answer, reported: str, state: str
) -> None:
    lender.api.answers["POST /kompar/webhooks/applications"] = [FINE, ALREADY, second]
    lender.api.answers["DELETE /kompar/webhooks/applications"] = [FINE]
    lender.run("register", "kompar", "applications")
    said = lender.refused("register", "kompar", "applications", "--replace")
    assert reported in said
    assert "Until `kvitto subscriptions register` succeeds, nothing is delivered" in said
    assert lender.states() == ["deleted", state]


def test_register_with_replace_can_be_repeated_if_the_removal_is_undecided(lender: Lender) -> None:
    lender.api.answers["POST /kompar/webhooks/applications"] = [FINE, ALREADY]
    lender.api.answers["DELETE /kompar/webhooks/applications"] = [Answer(500)]
    lender.run("register", "kompar", "applications")
    said = lender.refused("register", "kompar", "applications", "--replace")
    assert "whether the former subscription to applications was removed is not known" in said
    assert lender.states() == ["deleting", "failed"]
    lender.api.answers["POST /kompar/webhooks/applications"] = [ALREADY, FINE]
    lender.api.answers["DELETE /kompar/webhooks/applications"] = [Answer(404, {"message": "not registered"})]
    lender.run("register", "kompar", "applications", "--replace")
    assert lender.states() == ["deleted", "failed", "active"]


def test_remove_resolves_a_registration_whose_answer_was_lost(lender: Lender) -> None:
    lender.api.answers["POST /kompar/webhooks/applications"] = [CUT_OFF]
    lender.api.answers["DELETE /kompar/webhooks/applications"] = [FINE]
    lender.api.answers["GET /solaris/v1/webhooks"] = [listed()]
    assert "Whether it was done is not known" in lender.refused("register", "kompar", "applications")
    (row,) = json.loads(lender.run("list", "--json").stdout)
    assert (row["state"], row["topic"]) == ("pending", "applications")
    lender.run("remove", "kompar", "applications")
    assert lender.states() == ["deleted"]


def test_list_shows_a_registration_that_crashed_before_the_answer(lender: Lender) -> None:
    lender.api.answers["POST /kompar/webhooks/applications"] = [HANGS]
    lender.api.answers["GET /solaris/v1/webhooks"] = [listed()]
    asking = subprocess.Popen(
        command("subscriptions", "register", "kompar", "applications"),
        env=bare_environment() | lender.environment,
        stdin=subprocess.DEVNULL,
    )
    eventually(lambda: "POST /kompar/webhooks/applications" in lender.api.lines, "it was asked")
    asking.send_signal(signal.SIGKILL)
    asking.wait()
    (row,) = json.loads(lender.run("list", "--json").stdout)
    assert (row["state"], row["activated_at"]) == ("pending", None)


def test_remove_of_a_registered_webhook(lender: Lender) -> None:
    lender.api.answers["POST /kompar/webhooks/applications"] = [FINE]
    lender.api.answers["DELETE /kompar/webhooks/applications"] = [FINE, Answer(404, {"message": "not registered"})]
    lender.run("register", "kompar", "applications")
    said = lender.refused("remove", "kompar", "applications", "--url", "https://lender.example/another")
    assert f"registered for {HERE}, as far as is known here" in said
    assert "no more" in lender.run("remove", "kompar", "applications").stdout
    (row,) = lender.rows()
    assert row["state"] == "deleted"
    assert [action for action, *_ in lender.logged()] == ["subscription-requested", "subscription-removal"]
    assert "nothing to remove" in lender.refused("remove", "kompar", "applications")


def test_remove_that_fails_stays_undecided_until_it_succeeds(lender: Lender) -> None:
    lender.api.answers["POST /kompar/webhooks/applications"] = [FINE]
    lender.api.answers["DELETE /kompar/webhooks/applications"] = [Answer(500)]
    lender.run("register", "kompar", "applications")
    assert "next try in" in lender.refused("remove", "kompar", "applications")
    assert lender.states() == ["deleting"]
    lender.api.answers["DELETE /kompar/webhooks/applications"] = [FINE]
    lender.run("remove", "kompar", "applications")
    assert lender.states() == ["deleted"]


def test_register_with_wrong_credentials_names_their_settings(lender: Lender) -> None:
    lender.api.answers["GET /kompar/token"] = [Answer(401, {"message": f"wrong password {PASSWORD}"})]
    said = lender.refused("register", "kompar", "applications")
    assert "answers 401: wrong password ***. Correct KOMPAR_API_USERNAME or KOMPAR_API_PASSWORD. Nothing was" in said
    assert lender.states() == ["failed"]


def test_register_adds_the_secret_to_its_file(lender: Lender) -> None:
    lender.secrets.write_text(f"{EVENT}=older\n")
    lender.secrets.chmod(0o640)
    lender.api.answers["POST /solaris/v1/webhooks"] = [made()]
    done = lender.run("register", "solaris", EVENT)
    assert f"its secret was added to {lender.secrets}" in done.stdout
    assert "restart the ingest processes, one after the other" in done.stdout
    assert lender.secrets.read_text() == f"{EVENT}=older,{EVENT}={SHOWN_ONCE}\n"
    assert stat.S_IMODE(lender.secrets.stat().st_mode) == 0o640
    assert lender.api.calls[-1].document == {"event_type": EVENT, "url": THERE}
    assert [(row["state"], row["reference"]) for row in lender.rows()] == [("active", "w-1")]


def test_register_of_an_event_type_without_a_schema_warns(lender: Lender) -> None:
    unknown = "PERSON_CHANGED"
    answer = {"id": "w-1", "event_type": unknown, "url": THERE, "secret": SHOWN_ONCE}
    lender.api.answers["POST /solaris/v1/webhooks"] = [Answer(201, answer), made("w-2")]
    done = lender.run("register", "solaris", unknown)
    assert f"no schema for {unknown}: kept whole, flagged no-schema; there is one for FREELANCER_CREDIT" in done.stderr
    assert lender.states() == ["active"]
    assert "no schema" not in lender.run("register", "solaris", EVENT).stderr


def test_register_without_a_secret_file_sends_nothing(lender: Lender) -> None:
    del lender.environment["SOLARIS_SECRETS_FILE"]
    said = lender.refused("register", "solaris", EVENT)
    assert "SOLARIS_SECRETS_FILE is not set" in said
    assert "--print-secret" in said
    lender.environment["SOLARIS_SECRETS_FILE"] = str(lender.folder)
    assert "is no readable file" in lender.refused("register", "solaris", EVENT)
    assert (lender.api.calls, lender.rows()) == ([], [])


def test_register_without_a_secret_file_prints_the_secret_once_on_a_terminal(lender: Lender) -> None:
    del lender.environment["SOLARIS_SECRETS_FILE"]
    lender.api.answers["POST /solaris/v1/webhooks"] = [made()]
    with terminal("subscriptions", "register", "solaris", EVENT, environment=lender.environment) as shown:
        assert shown.end() == 0, shown.text
    assert re.findall(rf"^{EVENT}={SHOWN_ONCE}\r?$", shown.text, re.MULTILINE)
    assert shown.text.count(SHOWN_ONCE) == 1
    assert lender.states() == ["active"]


def test_register_keeps_the_secret_if_the_database_fails(lender: Lender) -> None:
    """It cannot be asked for a second time."""
    with psycopg.connect(lender.database, autocommit=True) as owner:
        owner.execute("REVOKE UPDATE (activated_at) ON kvitto.subscriptions FROM kvitto_worker")
    lender.api.answers["POST /solaris/v1/webhooks"] = [made()]
    lender.refused("register", "solaris", EVENT, status=78)
    assert lender.secrets.read_text() == f"{EVENT}={SHOWN_ONCE}\n"
    assert lender.states() == ["pending"]


def test_list_compares_our_rows_with_those_of_the_provider(lender: Lender) -> None:
    lender.api.answers["POST /solaris/v1/webhooks"] = [made("w-1"), made("w-2")]
    lender.run("register", "solaris", EVENT)
    lender.run("register", "solaris", EVENT)
    lender.api.answers["GET /solaris/v1/webhooks"] = [listed("w-1", "w-2"), listed()]
    assert lender.run("list").stderr == ""
    lender.api.answers["GET /solaris/v1/webhooks"] = [listed("w-1"), listed("w-3"), listed()]
    done = lender.run("list", "--json", status=1)
    found = {row["reference"]: (row["state"], row["provider_says"], row["differs"]) for row in json.loads(done.stdout)}
    assert found == {
        "w-1": ("active", "registered", False),
        "w-2": ("active", "nothing", True),
        "w-3": (None, "registered", False),
    }
    assert f"solaris {EVENT} (w-2) differs from what the provider reports" in done.stderr
    assert "w-3" not in done.stderr
    lender.api.answers["GET /solaris/v1/webhooks"] = [listed("w-1", "w-2", url="https://else.example"), listed()]
    assert "registered for https://else.example" in lender.run("list", status=1).stdout


def test_list_shows_our_rows_if_the_provider_cannot_be_called(lender: Lender) -> None:
    lender.api.answers["POST /solaris/v1/webhooks"] = [made()]
    lender.run("register", "solaris", EVENT)
    lender.api.answers["GET /solaris/v1/webhooks"] = [Answer(403, {"detail": "no"})]
    done = lender.run("list", status=1)
    assert "solaris is not asked: " in done.stderr
    assert EVENT in done.stdout
    del lender.environment["SOLARIS_CLIENT_SECRET"]
    done = lender.run("list")
    assert "solaris is not asked: SOLARIS_CLIENT_SECRET: is not set" in done.stderr
    assert EVENT in done.stdout


def test_remove_of_one_of_several_names_the_secret_to_delete(lender: Lender) -> None:
    lender.api.answers["POST /solaris/v1/webhooks"] = [made("w-1"), made("w-2")]
    for _ in range(2):
        lender.run("register", "solaris", EVENT)
    lender.api.answers["GET /solaris/v1/webhooks"] = [listed("w-1", "w-2"), listed()]
    said = lender.refused("remove", "solaris", EVENT)
    assert "subscribed to 2 times: w-1" in said
    assert "--id" in said
    lender.api.answers["GET /solaris/v1/webhooks"] = [listed("w-1", "w-2"), listed()]
    lender.api.answers["DELETE /solaris/v1/webhooks/w-1"] = [Answer(200, {"id": "w-1"})]
    done = lender.run("remove", "solaris", EVENT, "--id", "w-1")
    assert re.search(rf"the value of {EVENT} in SOLARIS_SECRETS that came at .* may go, and no other", done.stdout)
    assert lender.states() == ["deleted", "active"]
    lender.api.answers["GET /solaris/v1/webhooks"] = [listed("w-2"), listed()]
    lender.api.answers["DELETE /solaris/v1/webhooks/w-2"] = [Answer(204)]
    assert f"every value of {EVENT}" in lender.run("remove", "solaris", EVENT).stdout
    lender.api.answers["GET /solaris/v1/webhooks"] = [listed()]
    assert f"{EVENT} is not subscribed to" in lender.refused("remove", "solaris", EVENT)


@pytest.mark.parametrize(
    ("arguments", "change", "status", "words"),
    [
        (["register", "kompar", "loans"], {}, 2, "no webhook 'loans'; name one of applications, decisions"),
        (["register", "solaris", "no type"], {}, 2, "'no type' is no event type"),
        (["register", "nobody", "x"], {}, 2, "'nobody' has no folder in app/providers; name one of kompar, solaris"),
        (["register", "kompar", "decisions", "--url", HERE], {}, 2, "decisions belong at /webhooks/kompar/decisions"),
        (["register", "kompar", "decisions", "--url", "https://lender.example"], {}, 2, "--allow-any-path if a proxy"),
        (["register", "solaris", EVENT, "--url", f"{THERE}/x"], {}, 2, f"{EVENT} belong"),
        (["register", "kompar", "decisions"], LOOPBACK, 2, "an address of this machine alone"),
        (["register", "solaris", EVENT], LOOPBACK, 2, "an address of this machine alone"),
        (["register", "kompar", "decisions", "--url", "http://lender.example/x"], {}, 2, "is no https:// address"),
        (["register", "kompar", "decisions", "--url", "https://"], {}, 2, "cannot be read as an address"),
        (["register", "kompar", "decisions", "--url", "https://a:b@host/x"], {}, 2, "holds a user, a password"),
        (["register", "kompar", "decisions", "--url", "https://["], {}, 2, "cannot be read as an address"),
        (["register", "kompar", "decisions"], {"PUBLIC_URL": ""}, 2, "(on this machine: kvitto up --https)"),
        (["register", "kompar", "decisions"], {"PUBLIC_URL": "http://x"}, 78, "PUBLIC_URL: is no https:// address"),
        (["remove", "kompar", "decisions"], {"KOMPAR_API_URL": "http://127.0.0.1"}, 78, "KOMPAR_API_URL: is no https://"),
        (["remove", "kompar", "decisions"], {"KOMPAR_API_URL": "https://a..b"}, 78, "KOMPAR_API_URL: cannot be read"),
        (["remove", "kompar", "decisions"], {"KOMPAR_API_URL": "https://["}, 78, "KOMPAR_API_URL: cannot be read"),
        (["list"], {"DATABASE_URL": ""}, 78, "DATABASE_URL: is not set"),
        (["verify", "kompar", "decisions"], {"KOMPAR_API_PASSWORD": ""}, 78, "KOMPAR_API_PASSWORD: is not set"),
        (["verify", "kompar", "decisions"], {"CA_FILE": "/nowhere"}, 78, "CA_FILE: cannot be used"),
        (["verify", "kompar", "decisions"], {"KOMPAR_API_URL": ""}, 1, "only Kompar's test environment"),
        (["verify", "solaris", EVENT], {"SOLARIS_API_URL": ""}, 1, "nothing on request. Or cause an event"),
        (["verify", "kompar", "decisions"], {}, 1, "register it first"),
        (["register", "kompar", "decisions", "--operator", "\x07 "], {}, 2, "another character that cannot be seen"),
        (["register", "kompar", "decisions"], {"KVITTO_OPERATOR": "a\nb"}, 2, "holds a line break"),
        (["remove", "kompar", "decisions", "--operator", "x" * 65], {}, 2, "is longer than 64 characters"),
        (["adopt", "w-1", "--operator", "Per 19811218-9876"], {}, 2, "holds a national id"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_a_mistake_is_reported_before_the_provider_is_called(
    lender: Lender, arguments: list[str], change: dict[str, str], status: int, words: str
) -> None:
    lender.environment |= change
    assert words in lender.refused(*arguments, status=status)
    assert {call.line.split()[0] for call in lender.api.calls} <= {"GET"}
    assert "DATABASE_URL" in change or lender.rows() == []


def test_verify_without_a_delivery_says_what_to_check(lender: Lender) -> None:
    lender.api.answers["GET /kompar/random/application"] = [FINE]
    said = lender.refused("verify", "kompar", "applications", "--timeout", "1s")
    assert "no applications of kompar in Postgres after 1 s" in said
    assert "kvitto audit" in said


def test_verify_with_a_new_secret_names_the_restart_first(lender: Lender) -> None:
    said = lender.refused("verify", "solaris", EVENT, "--timeout", "1s", "--no-trigger")
    assert "in this order:\n  SOLARIS_SECRETS             was ingest restarted since the secret was added?\n" in said


def test_register_accepts_a_path_prefix_and_with_any_path_every_path(lender: Lender) -> None:
    lender.api.answers["POST /kompar/webhooks/applications"] = [FINE]
    urls = [f"https://lender.example/behind{HERE.removeprefix('https://lender.example')}{end}" for end in ("", "/")]
    for url in urls:
        lender.run("register", "kompar", "applications", "--url", url)
    lender.run("register", "kompar", "applications", "--url", "https://lender.example/any", "--allow-any-path")
    assert [row["url"] for row in lender.rows()] == [*urls, "https://lender.example/any"]


@pytest.mark.parametrize("replace", [[], ["--replace"]], ids=["first", "replacing"])
def test_register_that_failed_early_says_that_nothing_changed(lender: Lender, replace: list[str]) -> None:
    lender.api.answers["GET /kompar/token"] = [Answer(500)]
    said = lender.refused("register", "kompar", "applications", *replace)
    assert "the fault is the provider's. Nothing was changed." in said
    assert lender.states() == ["failed"]


def test_list_says_what_to_do_about_undecided_rows(lender: Lender) -> None:
    lender.api.answers["GET /solaris/v1/webhooks"] = [listed()]
    lender.api.answers["POST /kompar/webhooks/applications"] = [CUT_OFF, FINE]
    assert "Nothing was changed" not in lender.refused("register", "kompar", "applications")
    assert "pending: it is not known whether it is registered; `register --replace`" in lender.run("list").stderr
    lender.run("register", "kompar", "applications", "--replace")
    lender.api.answers["DELETE /kompar/webhooks/applications"] = [CUT_OFF]
    lender.refused("remove", "kompar", "applications")
    assert lender.run("list").stderr == "deleting: it is not known whether it was removed; repeat `remove`\n"


def test_remove_resolves_an_undecided_removal_by_the_list_of_the_provider(lender: Lender) -> None:
    lender.api.answers["POST /solaris/v1/webhooks"] = [made()]
    lender.api.answers["GET /solaris/v1/webhooks"] = [listed("w-1"), listed()]
    lender.api.answers["DELETE /solaris/v1/webhooks/w-1"] = [CUT_OFF]
    lender.run("register", "solaris", EVENT)
    lender.refused("remove", "solaris", EVENT)
    assert lender.states() == ["deleting"]
    lender.api.answers["GET /solaris/v1/webhooks"] = [listed()]
    assert f"{EVENT} is not subscribed to" in lender.refused("remove", "solaris", EVENT)
    assert lender.states() == ["deleted"]


def test_check_names_missing_settings(lender: Lender) -> None:
    def check() -> subprocess.CompletedProcess[str]:
        return run("check", "subscriptions", environment=lender.environment)

    done = check()
    assert done.returncode == 0, done.stdout
    assert "complete for subscriptions" in done.stdout
    assert "KOMPAR_API_USERNAME" not in done.stdout  # a name may be short
    del lender.environment["KOMPAR_API_USERNAME"], lender.environment["SOLARIS_CLIENT_SECRET"]
    done = check()
    assert done.returncode == 78
    assert "KOMPAR_API_USERNAME" in done.stdout
    assert "SOLARIS_CLIENT_SECRET" in done.stdout


def test_worker_role_can_neither_delete_nor_rewrite_a_request(lender: Lender) -> None:
    lender.api.answers["POST /kompar/webhooks/applications"] = [FINE]
    lender.run("register", "kompar", "applications")
    for statement in ("DELETE FROM kvitto.subscriptions", "UPDATE kvitto.subscriptions SET url = 'x'"):
        with (
            psycopg.connect(lender.environment["DATABASE_URL"]) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection.execute(statement)


def test_register_replaces_the_row_of_a_webhook_that_was_removed_elsewhere(lender: Lender) -> None:
    lender.api.answers["POST /kompar/webhooks/applications"] = [FINE]
    lender.run("register", "kompar", "applications")
    lender.run("register", "kompar", "applications")
    assert lender.states() == ["deleted", "active"]


def test_register_with_replace_is_rejected_if_the_provider_keeps_several(lender: Lender) -> None:
    assert "keeps several subscriptions of a topic" in lender.refused(
        "register", "solaris", EVENT, "--replace", status=2
    )
    assert (lender.api.calls, lender.rows()) == ([], [])


def test_register_prints_a_secret_that_its_file_cannot_hold(lender: Lender) -> None:
    lender.secrets.write_bytes(b"\xff no text")
    lender.api.answers["POST /solaris/v1/webhooks"] = [made()]
    done = run("subscriptions", "register", "solaris", EVENT, environment=lender.environment)
    assert done.returncode == 0, done.stderr
    assert "could not be changed (UnicodeDecodeError): keep the secret below" in done.stderr
    assert f"{EVENT}={SHOWN_ONCE}\n" in done.stdout
    assert lender.secrets.read_bytes() == b"\xff no text"
    assert lender.states() == ["active"]


def test_list_of_a_provider_that_cannot_be_called_does_not_say_that_nothing_is_registered(lender: Lender) -> None:
    lender.api.answers["GET /solaris/v1/webhooks"] = [Answer(403, {"detail": "no"})]
    done = lender.run("list", status=1)
    assert done.stdout == "nothing is recorded here; what is registered with kompar and solaris is not known\n"
    lender.environment["PROVIDERS"] = "solaris"
    lender.api.answers["GET /solaris/v1/webhooks"] = [listed()]
    assert lender.run("list").stdout == "no subscriptions\n"


def test_list_shows_what_others_made_apart_and_adopt_records_it(lender: Lender) -> None:
    lender.api.answers["GET /solaris/v1/webhooks"] = [listed("w-1"), listed()]
    done = lender.run("list")
    assert done.stderr == ""
    assert done.stdout.startswith("\nMade by other means; to record one here: kvitto subscriptions adopt REFERENCE\n")
    for status in (0, 1):
        lender.api.answers["GET /solaris/v1/webhooks"] = [listed("w-1"), listed()]
        done = lender.run("adopt", "w-1", "--operator", " Ada Lovelace ", status=status)
    assert "w-1 is recorded already, as active" in done.stderr
    assert "no provider that could be asked lists w-2" in lender.refused("adopt", "w-2")
    (row,) = lender.rows()
    assert (row["state"], row["topic"], row["url"], row["reference"]) == ("active", EVENT, THERE, "w-1")
    assert lender.logged() == [
        ("subscription-adopted", "Ada Lovelace", "kvitto_worker", "solaris", f"{EVENT} to {THERE}")
    ]
    lender.api.answers["GET /solaris/v1/webhooks"] = [listed("w-1"), listed()]
    assert "other means" not in lender.run("list").stdout
    lender.api.answers["GET /solaris/v1/webhooks"] = [listed("w-1"), listed()]
    lender.api.answers["DELETE /solaris/v1/webhooks/w-1"] = [Answer(204)]
    lender.run("remove", "solaris", EVENT)
    (row,) = lender.rows()
    assert row["state"] == "deleted"
    assert [action for action, *_ in lender.logged()] == ["subscription-adopted", "subscription-removal"]


def test_list_matches_a_lost_answer_by_topic_and_address(lender: Lender) -> None:
    lender.api.answers["POST /solaris/v1/webhooks"] = [CUT_OFF]
    lender.refused("register", "solaris", EVENT)
    lender.api.answers["GET /solaris/v1/webhooks"] = [listed("w-1"), listed()]
    done = lender.run("list", "--json", status=1)
    (row,) = json.loads(done.stdout)
    assert (row["state"], row["reference"], row["provider_says"]) == ("pending", "w-1", "registered")
    assert "its secret was lost with the answer" in done.stderr
    lender.api.answers["GET /solaris/v1/webhooks"] = [listed("w-1"), listed()]
    lender.run("adopt", "w-1")
    assert [(row["state"], row["reference"]) for row in lender.rows()] == [("active", "w-1")]


def test_list_matches_an_id_before_an_address(lender: Lender) -> None:
    lender.api.answers["POST /solaris/v1/webhooks"] = [CUT_OFF, made("w-1")]
    lender.refused("register", "solaris", EVENT)
    lender.run("register", "solaris", EVENT)
    lender.api.answers["GET /solaris/v1/webhooks"] = [listed("w-1"), listed()]
    done = lender.run("list", "--json")
    found = {row["state"]: (row["reference"], row["provider_says"]) for row in json.loads(done.stdout)}
    assert found == {"pending": (None, "nothing"), "active": ("w-1", "registered")}
    assert done.stderr == "pending: it is not registered; `register` it again\n"


def test_list_reports_a_removed_subscription_that_the_provider_lists_still(lender: Lender) -> None:
    lender.api.answers["POST /solaris/v1/webhooks"] = [made("w-1")]
    lender.api.answers["DELETE /solaris/v1/webhooks/w-1"] = [Answer(204)]
    lender.run("register", "solaris", EVENT)
    lender.api.answers["GET /solaris/v1/webhooks"] = [listed("w-1"), listed()]
    lender.run("remove", "solaris", EVENT)
    lender.api.answers["GET /solaris/v1/webhooks"] = [listed("w-1"), listed()]
    assert "deleted: the provider lists it; repeat `remove` with its --id" in lender.run("list", status=1).stderr


def test_verify_at_an_api_without_test_events_advises_to_wait_for_the_next(lender: Lender) -> None:
    said = lender.refused("verify", "solaris", EVENT)  # the API is at another host, and has no such call
    assert "answers 404" in said
    assert "Or cause an event, and wait for it with --no-trigger." in said
