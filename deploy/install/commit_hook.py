"""Hatchling's build hook: writes the commit into wheel and sdist, so that `kvitto --version` shows it.

KVITTO_COMMIT names it where there is no git: in the image. A wheel that is built from an sdist keeps the sdist's.
"""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CommitHook(BuildHookInterface[Any]):
    """Adds config/commit.txt."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write the file, unless this is an editable install, which asks git."""
        if version == "editable" or (Path(self.root) / "config" / "commit.txt").exists():
            return
        sys.path.insert(0, self.root)
        from config.commit import commit  # noqa: PLC0415 - of what is built

        self._folder = tempfile.TemporaryDirectory()
        file = Path(self._folder.name) / "commit.txt"
        file.write_text(f"{os.environ.get('KVITTO_COMMIT') or commit()}\n", encoding="ascii")
        build_data["force_include"][str(file)] = "config/commit.txt"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
        """Remove the file."""
        if folder := getattr(self, "_folder", None):
            folder.cleanup()
