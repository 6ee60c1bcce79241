"""Traces: by what a person or an entity can be found in a text."""

import json
import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, cached_property

# What may stand between two digits of a national id.
_GAP = "[^0-9A-Za-z]{0,8}"
# A number that lost its leading zeros is looked for alone: within a longer one it means something else.
_SHORTEST_NUMBER = 7
# An id that begins or ends in the middle of a word is another one.
_BEFORE, _AFTER = "(?:^|[^0-9A-Za-z_-])", "(?:[^0-9A-Za-z_-]|$)"
# A shorter id, or one of digits only, may be an amount: it is looked for as a whole value.
_SHORTEST_ID = 6
_NOTHING = "(?!)"
# No script has digits beyond this character.
_LAST_DIGIT = 0x1FFFF


@dataclass(frozen=True)
class Traces:
    """What to look for: national ids as `national_ids.person_numbers` spells them, and ids of entities."""

    numbers: frozenset[str] = frozenset()
    ids: frozenset[str] = frozenset()

    @cached_property
    def expression(self) -> str:
        """Regular expression for texts, the same in Python and Postgres: digits of any script, any separators."""
        return "|".join(self._expressions(_in_any_script)) or _NOTHING

    @cached_property
    def in_bytes(self) -> re.Pattern[bytes]:
        """Regular expression for files, with the digits of ASCII."""
        return re.compile(("|".join(self._expressions(str)) or _NOTHING).encode())

    def are_in(self, plaintexts: Iterable[bytes]) -> bool:
        """Return whether one of the plaintexts of a body shows a trace, as it is or as the JSON that it holds."""
        return any(re.search(self.expression, text) for plaintext in plaintexts for text in _readings(plaintext))

    def _expressions(self, spell: Callable[[str], str]) -> list[str]:
        found = [_GAP.join(map(spell, number)) for number in sorted(self.numbers)]
        shortened = [number.lstrip("0") for number in sorted(self.numbers) if number.startswith("0")]
        found += [
            f"(?:^|[^0-9]){''.join(map(spell, number))}(?:[^0-9]|$)"
            for number in shortened
            if len(number) >= _SHORTEST_NUMBER
        ]
        return found + list(map(_of_id, sorted(self.ids)))


def _of_id(entity_id: str) -> str:
    literal = "".join(f"\\{each}" if each.isascii() and not each.isalnum() else each for each in entity_id)
    if len(entity_id) < _SHORTEST_ID or entity_id.isdecimal():
        return f'(?:^|"){literal}(?:"|$)'
    return f"{_BEFORE}{literal}{_AFTER}"


def _readings(plaintext: bytes) -> list[str]:
    """Return a plaintext as text, and without the escapes of JSON if it is JSON."""
    text = plaintext.decode("utf-8", "replace")
    try:
        return [text, json.dumps(json.loads(text), ensure_ascii=False)]
    except (ValueError, RecursionError):
        return [text]


def _in_any_script(character: str) -> str:
    """Return the expression of a digit or a letter in every script and width that may stand for it."""
    return f"[{_spellings()[character]}]" if character in _spellings() else character


@cache
def _spellings() -> dict[str, str]:
    found: dict[str, str] = {}
    for code in range(_LAST_DIGIT + 1):
        character = chr(code)
        digit = unicodedata.digit(character, None)
        if digit is not None:
            found[str(digit)] = found.get(str(digit), "") + character
    wide = {letter: f"{letter}{letter.lower()}{chr(ord(letter) + 0xFEE0)}" for letter in "TRSUWXJKLMN"}
    return found | wide
