"""Files are searched whatever their size and format."""

import re
from pathlib import Path

import pytest

from app.local.file_search import files_with

PATTERN = re.compile(rb"needle")


@pytest.mark.parametrize("before", [0, 1, 1024 * 1024 - 3, 1024 * 1024, 3 * 1024 * 1024 - 1])
def test_files_with_finds_a_text_wherever_it_is(tmp_path: Path, before: int) -> None:
    (tmp_path / "below").mkdir()
    found = tmp_path / "below" / "file"
    found.write_bytes(b"\0" * before + b"needle\xff")
    (tmp_path / "other").write_bytes(b"need")
    assert list(files_with(tmp_path, PATTERN)) == [found]


def test_files_with_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"needle")
    (tmp_path / "folder" / "link").symlink_to(tmp_path / "file")
    assert list(files_with(tmp_path / "folder", PATTERN)) == []
