"""Profiles: flame graphs of edge and worker while deliveries are received and drained, drawn by py-spy."""

import re
import subprocess
import sys
from pathlib import Path

from benchmarks import bodies
from benchmarks.runner import Bench


def measure(bench: Bench) -> None:
    """Draw profile-ingest.svg and profile-worker.svg, under one load; where that is not allowed, remark why."""
    bench.say("profiles")
    paths = {kind: bench.folder / f"profile-{kind}.svg" for kind in ("ingest", "worker")}
    processes = bench.setup.processes()
    seconds = max(1, round(bench.volume.steady_seconds))
    # The last of each is the one that serves, or drains: its parents come first.
    running = {kind: _start(processes[kind][-1], seconds, path) for kind, path in paths.items()}
    with bench.sending(bench.setup.ours, "profiles") as sent:
        bench.send(sent, bodies.applications(bench.volume.drained))
    for kind, process in running.items():
        said = process.communicate()[1]
        if process.returncode:
            bench.record.remark(f"profile of {kind}", said.strip().splitlines()[-1])
        else:
            _entitle(paths[kind], f"Kvitto, {kind}: what holds the interpreter")


def _start(pid: int, seconds: int, path: Path) -> subprocess.Popen[str]:
    line = [str(Path(sys.executable).with_name("py-spy")), "record", "--pid", str(pid), "--duration", str(seconds)]
    # Only who holds the interpreter: waits for an answer from Redis would pass for work.
    return subprocess.Popen(
        [*line, "--gil", "--output", str(path)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def _entitle(path: Path, title: str) -> None:
    """Put a title in the place of py-spy's command line, which names folders of this machine."""
    found = path.read_text(encoding="utf-8")
    path.write_text(re.sub(r'(<text id="title"[^>]*>)[^<]*', rf"\g<1>{title}", found), encoding="utf-8")
