"""Beat alone, with a broker that takes nothing."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.command_server import Command
from tests.support.kvitto_process import with_secrets
from tests.support.servers import eventually, valkey


@pytest.mark.early
def test_tasks_that_beat_cannot_send_are_a_line_of_each_kind_and_then_summed_up(tmp_path: Path) -> None:
    log = tmp_path / "beat.log"

    def failed() -> list[dict[str, Any]]:
        return [line for line in map(json.loads, log.read_text().splitlines()) if line["event"] == "task_not_sent"]

    with valkey(tmp_path, "--maxmemory", "1") as url, log.open("wb") as err, open(os.devnull, "r+b") as nothing:
        streams = [nothing.fileno(), nothing.fileno(), err.fileno()]
        beat = Command(["beat"], with_secrets({"REDIS_URL": url}), tmp_path, streams)
        try:
            eventually(lambda: any("count" in line for line in failed()), "a line that sums up", 120)
        finally:
            beat.kill()
            beat.wait()
    firsts = [(line["provider"], line["task"]) for line in failed() if "count" not in line]
    assert len(set(firsts)) == len(firsts) > 1
    assert {line["error"] for line in failed()} == {"OutOfMemoryError"}
    assert "Message Error" not in log.read_text()
