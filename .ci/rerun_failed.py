"""Runs each test that failed in this folder's last run of pytest once more, alone.

A test that passes then is flaky. tests/known_flaky.txt lists those that are known: it may get shorter, but not longer.
The exit status is 0 only if every test passed alone, and at most a few are flaky that the list lacks: each is reported,
but one that a busy machine starved must not stop a change.
"""

import json
import subprocess
import sys
from pathlib import Path

FAILED = Path(".pytest_cache/v/cache/lastfailed")
KNOWN = Path("tests/known_flaky.txt")
MAX_NEW = 3


def main() -> int:
    """Run the tests again; print what became of each."""
    failed = sorted(json.loads(FAILED.read_text())) if FAILED.exists() else []
    known = {line for line in KNOWN.read_text().splitlines() if line and not line.startswith("#")}
    outcomes = {test: _outcome(test, known) for test in failed}
    for test, outcome in outcomes.items():
        print(f"{outcome}: {test}")  # noqa: T201
    new = sum("not in" in outcome for outcome in outcomes.values())
    failed_alone = any("FAILED" in outcome for outcome in outcomes.values())
    return 0 if outcomes and not failed_alone and new <= MAX_NEW else 1


def _outcome(test: str, known: set[str]) -> str:
    if subprocess.run([sys.executable, "-m", "pytest", test], check=False).returncode != 0:  # noqa: S603
        return "FAILED, alone too"
    return "FLAKY, as known" if test in known else f"FLAKY, and not in {KNOWN}: find out why it failed"


if __name__ == "__main__":
    sys.exit(main())
