"""Hosts on one machine: network namespaces, each with a link to one bridge and an address. Needs root and iproute2."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.kvitto_process import ROOT, with_secrets

_LINK = "eth0"


@dataclass(slots=True)
class Host:
    """A namespace with a name, an address, a temporary folder, and the processes that were started in it."""

    name: str
    namespace: str
    address: str
    port_of_bridge: str
    folder: Path
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def command(self, *words: str) -> list[str]:
        """Return what runs a command here, under a host name of its own."""
        named = ["sh", "-c", 'hostname "$0" && exec "$@"', self.name]
        return ["ip", "netns", "exec", self.namespace, "unshare", "--uts", *named, *words]

    def run(
        self, words: Sequence[str], environment: Mapping[str, str], folder: Path = ROOT
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            self.command(*words),
            env=self._environment(environment),
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )

    def start(self, name: str, words: Sequence[str], environment: Mapping[str, str], folder: Path = ROOT) -> None:
        """Start a process that goes on, and logs into a file of its name."""
        with self.log(name).open("ab") as log:
            self.processes[name] = subprocess.Popen(
                self.command(*words),
                env=self._environment(environment),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def log(self, name: str) -> Path:
        """Return where a process logs."""
        return self.folder / f"{name}.log"

    def stop(self, *names: str) -> None:
        """Stop processes as an engine does, all by default, and wait for their end."""
        stopped = [self.processes.pop(name) for name in names or tuple(self.processes)]
        for process in stopped:
            process.terminate()
        for process in stopped:
            with suppress(subprocess.TimeoutExpired):
                process.wait(60)
            self._kill(process)

    def die(self) -> None:
        """End all processes at once, as a loss of power does, and cut the link."""
        self.cut()
        for process in self.processes.values():
            self._kill(process)
        self.processes.clear()

    def cut(self) -> None:
        """Cut the link."""
        _ip("link", "set", self.port_of_bridge, "down")

    def connect(self) -> None:
        """Connect the link again."""
        _ip("link", "set", self.port_of_bridge, "up")

    @contextmanager
    def cut_off_from(self, *others: "Host") -> Iterator[None]:
        """Let no packet pass between this host and others during a block."""
        pairs = [pair for other in others for pair in ((self, other), (other, self))]
        for here, there in pairs:
            _ip("-n", here.namespace, "route", "add", "blackhole", f"{there.address}/32")
        try:
            yield
        finally:
            for here, there in pairs:
                _ip("-n", here.namespace, "route", "del", "blackhole", f"{there.address}/32")

    @contextmanager
    def bad_link(self, loss_percent: float, delay_ms: float) -> Iterator[None]:
        """Lose and delay packets of both directions during a block.

        By a program between two TAP devices, since not every kernel has netem. Address and hardware address stay.
        """
        name = self.port_of_bridge
        _ip("-n", self.namespace, "link", "set", _LINK, "down")
        words = ("tests.topology.bad_link", f"{name}a", f"{name}b", f"{loss_percent}", f"{delay_ms}")
        with subprocess.Popen([sys.executable, "-m", *words], cwd=ROOT, stdout=subprocess.PIPE, text=True) as program:
            assert program.stdout is not None
            assert program.stdout.readline() == "ready\n"
            hardware = _ip("-n", self.namespace, "-brief", "link", "show", "dev", _LINK).split()[2]
            _ip("-n", self.namespace, "addr", "del", f"{self.address}/24", "dev", _LINK)
            _ip("link", "set", f"{name}a", "master", name.partition("-")[0], "up")
            _ip("link", "set", f"{name}b", "address", hardware, "netns", self.namespace)
            _ip("-n", self.namespace, "addr", "add", f"{self.address}/24", "dev", f"{name}b")
            _ip("-n", self.namespace, "link", "set", f"{name}b", "up")
            try:
                yield
            finally:
                program.terminate()  # its devices end with it
        _ip("-n", self.namespace, "addr", "add", f"{self.address}/24", "dev", _LINK)
        _ip("-n", self.namespace, "link", "set", _LINK, "up")

    def _environment(self, environment: Mapping[str, str]) -> dict[str, str]:
        return with_secrets(environment) | {"TMPDIR": str(self.folder)}

    @staticmethod
    def _kill(process: subprocess.Popen[bytes]) -> None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, 9)  # its children too
        process.wait()


class Network:
    """A bridge and its hosts. This process reaches them: the bridge has an address, too."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        number = os.getpid() % 200 + 20  # several runs at once
        self._bridge, self._subnet = f"kv{number}", f"10.77.{number}"
        self.hosts: dict[str, Host] = {}
        _ip("link", "add", self._bridge, "type", "bridge")
        _ip("addr", "add", f"{self._subnet}.1/24", "dev", self._bridge)
        _ip("link", "set", self._bridge, "up")

    def __getitem__(self, name: str) -> Host:
        return self.hosts[name]

    def add(self, name: str) -> Host:
        """Add a host."""
        number = len(self.hosts) + 2
        namespace, port = f"{self._bridge}-{name}", f"{self._bridge}-{number}"
        host = Host(name, namespace, f"{self._subnet}.{number}", port, self._folder / name)
        host.folder.mkdir(mode=0o755)
        self.hosts[name] = host
        _ip("netns", "add", namespace)
        _ip("link", "add", port, "type", "veth", "peer", "name", _LINK, "netns", namespace)
        _ip("link", "set", port, "master", self._bridge, "up")
        _ip("-n", namespace, "addr", "add", f"{host.address}/24", "dev", _LINK)
        for device in ("lo", _LINK):
            _ip("-n", namespace, "link", "set", device, "up")
        return host

    def close(self) -> None:
        """End all processes, and remove all hosts."""
        for host in self.hosts.values():
            for process in host.processes.values():
                process.terminate()
        for host in self.hosts.values():
            host.stop()
            _ip("netns", "del", host.namespace)
        _ip("link", "del", self._bridge)


def _ip(*words: str) -> str:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"
    return done.stdout
