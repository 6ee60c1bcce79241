"""Slots: names that two processes never share, and a successor finds again."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from workers.consumer_slots import ConsumerSlot


@pytest.fixture
def take(tmp_path: Path) -> Iterator[Callable[[], ConsumerSlot]]:
    """Take slots, all given back at the end."""
    taken: list[ConsumerSlot] = []

    def one() -> ConsumerSlot:
        taken.append(ConsumerSlot(tmp_path))
        return taken[-1]

    yield one
    for slot in taken:
        slot.release()


def test_slots_of_one_host_differ_and_are_given_back(take: Callable[[], ConsumerSlot]) -> None:
    first, second = take(), take()
    assert first.name != second.name
    first.release()
    assert take().name == first.name


def test_a_slot_is_free_again_however_its_process_ended(take: Callable[[], ConsumerSlot], tmp_path: Path) -> None:
    code = "import os, sys; from pathlib import Path; from workers.consumer_slots import ConsumerSlot; "
    code += "slot = ConsumerSlot(Path(sys.argv[1])); print(slot.name, flush=True); os.kill(os.getpid(), 9)"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == -9
    assert take().name == done.stdout.strip()
