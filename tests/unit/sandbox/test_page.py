"""The README lists exactly the requests, files and schedules of the sandbox."""

import re
from pathlib import Path

from app.sandbox.kompar import SCHEDULE
from app.sandbox.solaris import SCHEDULE as BACK_OFF
from tests.support.kvitto_process import ROOT
from tests.support.sandbox_process import Sandbox
from tests.support.served import served

PAGE = (ROOT / "app" / "sandbox" / "README.md").read_text()


def test_readme_lists_every_request(sandbox: Sandbox) -> None:
    listed = {(method, path) for method, path in re.findall(r"`(GET|POST|DELETE) (/\S+)`", PAGE)}
    kompar = {(method, path) for method, path in listed if path.startswith("/kompar/") and "/test/" not in path}
    listed |= {(method, path.replace("/kompar/", "/kompar/test/")) for method, path in kompar}
    answered = {
        (method, rule.rule.replace("<id_>", "<id>"))
        for rule in sandbox.client.application.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert listed == answered


def test_readme_lists_every_file(tmp_path: Path) -> None:
    with served(tmp_path / "data") as sandbox:
        sandbox.register("applications", "https://127.0.0.1:1/")
        kept = {path.name for path in (tmp_path / "data" / "sandbox").iterdir()}
    assert kept == set(re.findall(r"`([\w.]+)`", PAGE.partition("## Files")[2].partition("##")[0]))


def test_readme_states_the_schedules() -> None:
    assert "30 s, 2 min, 15 min and 1 h" in PAGE
    assert SCHEDULE == (30.0, 120.0, 900.0, 3600.0)
    assert f"Solaris' first wait is {BACK_OFF[0]:.0f} s" in PAGE
