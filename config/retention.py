"""The setting of retention: after how many months what is removed, by provider and kind."""

import re
from collections.abc import Mapping

from config.environment import Environment

_KINDS = ("bodies", "contents", "receipts")
_LIMIT = re.compile(rf"([a-z][a-z0-9_]*)\.({'|'.join(_KINDS)})=([1-9][0-9]{{0,3}})")


def retention(environment: Environment) -> Mapping[str, Mapping[str, int]]:
    """Return after how many months which kind of a provider's rows is removed: provider → kind → months.

    What belongs to a receipt goes with it at the latest, so that its own limit is not longer.
    """
    limits: dict[str, dict[str, int]] = {}
    for item in filter(None, map(str.strip, environment.text("RETENTION", "").split(","))):
        if found := _LIMIT.fullmatch(item):
            limits.setdefault(found[1], {})[found[2]] = int(found[3])
        else:
            problem = f"holds {item!r}, which is not provider.kind=months"
            hint = f"Write it like acme.bodies=6,acme.contents=24,acme.receipts=84; kinds: {', '.join(_KINDS)}"
            environment.fault("RETENTION", problem, hint)
    for provider, months in limits.items():
        longest = months.get("receipts")
        if longest and (months.get("contents", longest + 1) > longest or months.get("bodies", longest) > longest):
            hint = f"Give {provider}.contents, and {provider}.bodies if it is set, at most as many months"
            environment.fault("RETENTION", f"keeps more of {provider} than its receipts", hint)
    return limits
