"""The ratios to the baselines that a change must not spoil: kept in expected.json, compared by `make bench-check`.

Ratios only: rates differ from machine to machine, and from hour to hour. The tutorial design waits for the disk where
Kvitto shares one wait among many deliveries, so their ratio follows the disk: the same code drained 10 and 14 times as
fast as the tutorial on two days. The empty view waits for no disk at all, and the same code accepted 0.69 and 0.86 as
fast within the hour. These ratios may fall further before they count as spoiled.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks import accept, drain, end_to_end
from benchmarks.result_files import Record

KEPT = Path(__file__).parent / "expected.json"
_TOLERANCE, _TOLERANCE_OF_DISK = 0.2, 0.4
_CHECKED = (
    ("accept 0.5 KB", accept.EMPTY),
    ("accept 0.5 KB", accept.TUTORIAL),
    (drain.FIGURE, drain.PROCESS),
    (drain.FIGURE, drain.TUTORIAL),
    (end_to_end.THROUGH, end_to_end.TUTORIAL),
)


def ratios(record: Record) -> dict[str, float]:
    """Return the median ratios of a run."""
    found = {f"{figure} by {baseline}": record.ratio(figure, baseline) for figure, baseline in _CHECKED}
    return {name: round(spread.median, 3) for name, spread in found.items() if spread}


def faults(found: Mapping[str, float], expected: Mapping[str, float] | None) -> Iterator[str]:
    """Yield in words every ratio that fell by more than is tolerated, or that was not measured."""
    if expected is None:
        yield "nothing to compare with: make it on a quiet machine, python -m benchmarks --check --keep"
        return
    for name, before in expected.items():
        now = found.get(name)
        if now is None:
            yield f"{name}: not measured"
            continue
        tolerance = _TOLERANCE_OF_DISK if name.endswith((drain.TUTORIAL, accept.EMPTY)) else _TOLERANCE
        if now < before * (1 - tolerance):
            yield f"{name}: {now:.2f}, expected {before:.2f} and no more than {tolerance:.0%} less"


def keep(found: Mapping[str, float], path: Path = KEPT) -> None:
    """Keep these ratios as what is expected."""
    path.write_text(json.dumps(dict(found), indent=2) + "\n", encoding="utf-8")


def kept(path: Path = KEPT) -> dict[str, float] | None:
    """Return what is expected; None if nothing was kept yet."""
    if not path.exists():
        return None
    found: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))
    return found
