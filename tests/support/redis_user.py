"""The users of Redis with the rights that docs/operations.md lists."""

import re
from collections.abc import Sequence
from pathlib import Path

from redis import Redis

NAME, PASSWORD = "kvitto", "secret-of-kvitto"
_PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
_COMMAND = re.search(r"^ACL SETUSER kvitto on >PASSWORD((?:\n    .*)+)", _PAGE.read_text(), re.MULTILINE)
assert _COMMAND is not None
_RIGHTS = _COMMAND[1].split()
_READS = re.search(r"^ACL SETUSER kvitto-console on >PASSWORD(.+)", _PAGE.read_text(), re.MULTILINE)
assert _READS is not None
# What the console alone needs.
READING_RIGHTS = _READS[1].split()


def create(redis: Redis, *changes: str, rights: Sequence[str] = _RIGHTS) -> None:
    """Create the user, with these rules after the documented ones."""
    rules = "reset", "on", f">{PASSWORD}", *rights, *changes
    redis.execute_command("ACL", "SETUSER", NAME, *rules)  # type: ignore[no-untyped-call]


def with_login(url: str) -> str:
    """Return the address of a server with the user's login."""
    return url.replace("://", f"://{NAME}:{PASSWORD}@")
