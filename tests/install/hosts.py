"""Hosts with a root of their own: network namespaces of `tests.topology`, each with a writable layer over this machine.

What runs on a host sees this machine's programs, and changes nothing of it: files, users and processes are the host's.
All of it is real, and needs root.
"""

import os
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.install.machines import PYTHON, checkout
from tests.support.kvitto_process import ROOT
from tests.support.servers import bare_environment, eventually
from tests.topology.network import Host, Network

# The layer is in memory: not every file system can hold one. /tmp is empty: what is in this machine's is not here.
_ROOT = """
mount -t tmpfs -o mode=755 none {base}
mkdir {base}/changes {base}/work {base}/root
mount -t overlay -o lowerdir=/,upperdir={base}/changes,workdir={base}/work overlay {base}/root
for each in dev sys; do mount --rbind /$each {base}/root/$each; done
for each in {shared}; do mkdir -p {base}/root/$each; mount --rbind $each {base}/root/$each; done
for each in tmp run var/log; do mount -t tmpfs -o mode=1777 none {base}/root/$each; done
mount -t proc none {base}/root/proc
cp -a {checkout} {base}/root/root/kvitto
exec chroot {base}/root sleep infinity
"""
_FOLDER = "/root/kvitto"
PATH = f"{PYTHON.parent}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"


class Machine:
    """One host: runs commands in the folder of its checkout, as root."""

    def __init__(self, host: Host, checkout_folder: Path) -> None:
        self.host = host
        self.name, self.address = host.name, host.address
        base = host.folder / "layer"
        base.mkdir()
        shared = [str(path) for path in (ROOT, PYTHON.parents[1]) if path.stat().st_dev != Path("/").stat().st_dev]
        names = {"base": base, "shared": shlex.join(shared), "checkout": checkout_folder}
        script = _ROOT.format(
            **{name: value if name == "shared" else shlex.quote(str(value)) for name, value in names.items()}
        )
        isolated = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-ec", script]
        host.start("root", isolated, {})
        outer = host.processes["root"].pid
        eventually(lambda: "sleep" in self._first(outer), f"root of {self.name}: ", 180, host.log("root"))
        self.root = Path(f"/proc/{self._child(outer)}/root")
        # Every user of the host reaches this machine's Python and programs, and may pass through root's home.
        for folder in {*PYTHON.parents, *ROOT.parents, Path("/root")}:
            if not (there := self.root / folder.relative_to("/")).stat().st_mode & 0o001:
                there.chmod(0o711)

    def command(self, script: str, *, online: bool = False) -> list[str]:
        """Return what runs a script here; with `online`, in the network of this machine."""
        target = self.root.parts[2]
        spaces = ["--mount", "--pid", "--root", f"--wd={self.root}{_FOLDER}", *([] if online else ["--net", "--uts"])]
        return ["nsenter", "--target", target, *spaces, "bash", "-ec", script]

    def run(self, script: str, *, online: bool = False) -> str:
        """Run a script that must succeed; return what it says."""
        environment = dict(os.environ) if online else bare_environment()
        done = subprocess.run(
            self.command(script, online=online),
            env=environment | self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,  # installs dozens of packages, on a machine that may be busy
            check=False,
        )
        assert done.returncode == 0, f"{self.name}: {script}\n{done.stdout}\n{done.stderr}\n{self.logs()}"
        return str(done.stdout)

    def start(self, name: str, script: str) -> subprocess.Popen[bytes]:
        """Start what goes on until it is stopped; it logs into a file of its name."""
        with self.host.log(name).open("ab") as log:
            self.host.processes[name] = subprocess.Popen(
                self.command(script),
                env=bare_environment() | self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self.host.processes[name]

    def install(self, source: Path, target: str) -> None:
        """Copy a file or folder of this machine to a place on the host, readable for all."""
        place = self.root / target.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "--archive", "--dereference", source, place], check=True)
        subprocess.run(["chmod", "--recursive", "a+rX", place], check=True)

    def write(self, target: str, text: str, mode: int = 0o644) -> None:
        """Write a file on the host."""
        place = self.root / target.lstrip("/")
        place.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        place.write_text(text)
        place.chmod(mode)

    def ports(self) -> set[int]:
        """Return the ports at which another host finds a server."""
        lines = subprocess.run(
            self.command("ss --no-header --listening --tcp --numeric"), check=True, capture_output=True, text=True
        ).stdout.splitlines()
        found = [line.split()[3].rpartition(":") for line in lines]
        return {int(port) for address, _, port in found if not address.startswith(("127.", "[::1]"))}

    def logs(self) -> str:
        """Return the end of what the units here log."""
        files = sorted((self.root / "var" / "log").glob("*.log"))
        return "\n".join(f"{file.name}: {file.read_text(errors='replace')[-2000:]}" for file in files)

    @property
    def _environment(self) -> dict[str, str]:
        return {"PATH": PATH, "HOME": "/root", "TMPDIR": "/tmp"}  # noqa: S108 - the host's own

    @staticmethod
    def _child(outer: int) -> int:
        children = Path(f"/proc/{outer}/task/{outer}/children").read_text().split()
        return int(children[0]) if children else outer

    def _first(self, outer: int) -> str:
        return Path(f"/proc/{self._child(outer)}/comm").read_text()


@contextmanager
def machines(folder: Path, *names: str) -> Iterator[list[Machine]]:
    """Make hosts of these names on one network, each with a checkout of this release."""
    network = Network(folder)
    try:
        source = checkout(folder / "kvitto")
        yield [Machine(network.add(name), source) for name in names]
    finally:
        for host in network.hosts.values():
            host.die()  # the first process of a namespace takes no SIGTERM
        network.close()
