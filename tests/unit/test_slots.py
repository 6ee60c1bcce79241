"""Slots: names that two processes never share, and a successor finds again."""

import subprocess
import sys
from pathlib import Path

from workers.slots import Slot
from workers.standby import Standby


def test_slots_of_one_host_differ_and_are_given_back(tmp_path: Path) -> None:
    first, second = Slot(tmp_path), Slot(tmp_path)
    assert first.name != second.name
    given_back = first.name
    first.release()
    assert Slot(tmp_path).name == given_back
    second.release()


def test_a_slot_is_free_again_however_its_process_ended(tmp_path: Path) -> None:
    code = "import os, sys; from pathlib import Path; from workers.slots import Slot; s = Slot(Path(sys.argv[1])); "
    code += "print(s.name, flush=True); os.kill(os.getpid(), 9)"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == -9
    assert Slot(tmp_path).name == done.stdout.strip()


def test_the_standby_holds_its_slot_as_long_as_it_lives(tmp_path: Path) -> None:
    standby = Standby(Slot(tmp_path), {})
    assert Slot(tmp_path).name != standby._slot.name
