"""The units and settings of deploy/hosts: systemd knows what they say, and each process reads every name in its own."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from config.environment import Environment
from tests.e2e.deploy.balancer import CADDYFILE
from tests.e2e.deploy.composition import OURS, SERVICES, read
from tests.support.kvitto_process import ROOT

FOLDER = ROOT / "deploy" / "hosts"
UNITS = sorted(FOLDER.glob("*.service"))
SETTINGS = {path.stem: path for path in sorted(FOLDER.glob("host?/*.env"))}
# What runs with them, where they name no command.
COMMANDS = {"migrate": "migrate", "operator": "audit"}


def settings(name: str) -> dict[str, str]:
    """Return what a file of settings sets."""
    pairs = [line.partition("=") for line in SETTINGS[name].read_text().splitlines()]
    return {key: "".join(shlex.split(value)) for key, _, value in pairs}


@pytest.mark.parametrize("unit", UNITS, ids=[unit.name for unit in UNITS])
def test_systemd_takes_every_line_of_a_unit(unit: Path, tmp_path: Path) -> None:
    copy = tmp_path / unit.name.replace("@", "@beat")
    copy.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", unit.read_text(), flags=re.MULTILINE))
    done = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("name", sorted(SETTINGS.keys() - {"balancer"}))
def test_a_process_reads_every_setting_and_misses_none(name: str) -> None:
    variables = settings(name)
    command = variables.pop("KVITTO_COMMAND", COMMANDS.get(name, ""))
    environment = Environment(variables)
    read({"command": command.split(), "environment": variables}, environment)
    assert variables.keys() <= environment.names_read
    # The files are not here.
    assert [str(each) for each in environment.faults if each.name not in variables] == []


def test_each_file_of_secrets_is_one_that_make_secrets_makes() -> None:
    made = {path for service in OURS.values() for path in service.get("secrets", ())}
    named = {Path(value).name for name in SETTINGS for key, value in settings(name).items() if key.endswith("_FILE")}
    assert named - {"ca.pem"} <= made


def test_the_balancer_is_given_all_that_its_configuration_takes() -> None:
    taken = set(re.findall(r"\{\$(BALANCER_\w+)\}", CADDYFILE.read_text()))
    assert {name for name in settings("balancer") if name.startswith("BALANCER")} == taken


def test_postgres_has_the_settings_of_the_compose_file() -> None:
    unit = (FOLDER / "kvitto-postgres.service").read_text()
    wanted = [part.removeprefix("-c") for part in SERVICES["postgres"]["command"][1:]]
    assert [each for each in wanted if f"-c {each}" not in unit] == []
