"""Every spelling of a national id, generated independently of the code that recognises them."""

from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any

from hypothesis import strategies as st

_SEPARATORS = (
    "", "-", "+", " ", "\u2013", "\u2014", "\u2010", "\u2212", "\u00a0", "\u202f", "\uff0d", "\uff0b", " - ", ".", "/",
    "_", "\u200b", "--",
)  # fmt: skip
_DIGITS = ("0123456789", "０１２３４５６７８９", "٠١٢٣٤٥٦٧٨٩")
_LETTERS = "TRSUWXJKLMN"


@dataclass(frozen=True, slots=True)
class Spelling:
    """A national id in one form, a text or a number, and its ten digits; an interim number has a letter among them."""

    value: str | int
    ten: str

    def is_in(self, text: str) -> bool:
        """Return whether a text shows the id, in this form or in any other."""
        return str(self.value) in text or self.ten in _plain(text)


@lru_cache(maxsize=4096)
def _plain(text: str) -> str:
    """Return the letters and digits of a text, in ASCII where they have such a form, in upper case."""
    for digits in _DIGITS:
        text = text.translate(str.maketrans(digits, _DIGITS[0]))
    return "".join(letter for letter in text.upper().replace("Ｔ", "T") if letter.isalnum())


def check_digit(nine: str) -> str:
    """Return the Luhn check digit, as the textbook has it."""
    total = sum(sum(divmod(int(digit) * (2 - index % 2), 10)) for index, digit in enumerate(nine))
    return str(-total % 10)


@st.composite
def personal_numbers(draw: st.DrawFn) -> tuple[str, str]:
    """Draw century and ten digits of a personnummer or a samordningsnummer."""
    born = draw(st.dates(date(1900, 1, 1), date(2026, 12, 31)))
    day = born.day + draw(st.sampled_from([0, 0, 60]))
    nine = f"{born:%y%m}{day:02}{draw(st.integers(0, 999)):03}"
    return str(born.year)[:2], nine + check_digit(nine)


@st.composite
def spellings(draw: st.DrawFn) -> Spelling:
    """Draw an id and one of its spellings."""
    century, ten = draw(personal_numbers())
    kind = draw(st.sampled_from(["text", "spaced", "interim", "number"]))
    if kind == "number":
        prefix, suffix = draw(st.sampled_from([("", ""), (century, ""), ("16", ""), ("16", "01"), ("16", "001")]))
        return Spelling(int(prefix + ten + suffix), ten)
    prefix = draw(st.sampled_from(["", century, "16", "SE", "SE16", "16" + century]))
    suffix = draw(st.sampled_from(["", "01", "07", "99", "001"]))
    separator = draw(st.sampled_from(_SEPARATORS))
    born, serial = ten[:6], ten[6:]
    if kind == "interim":
        letter = draw(st.sampled_from(_LETTERS + _LETTERS.lower() + "Ｔ"))
        serial = letter + serial[1:]
        prefix = prefix.replace("SE16", "SE")
        suffix = "" if separator == "" else suffix
        text = prefix + born + separator + serial + (separator + suffix if suffix else "")
        return Spelling(text, born + serial.upper().replace("Ｔ", "T"))
    if kind == "spaced":
        between = draw(st.sampled_from([each for each in _SEPARATORS if each]))
        text = between.join(prefix.removeprefix("SE") + ten)
    else:
        groups = draw(
            st.sampled_from([(born, serial), (born[:2], born[2:4], born[4:], serial), (born[:4], born[4:] + serial)])
        )
        text = prefix + separator.join(groups) + (separator + suffix if suffix else "")
    digits = draw(st.sampled_from(_DIGITS))
    return Spelling(text.translate(str.maketrans(_DIGITS[0], digits)), ten)


_KEYS = st.sampled_from(
    ["ssn", "company_id", "name", "company_description", "personal_id", "application_id", "orgNr", "x"]
) | st.text("bcdfghjk_åÄ", min_size=1, max_size=8)


@st.composite
def contents(draw: st.DrawFn) -> tuple[Spelling, dict[str, Any]]:
    """Draw a spelling, and a JSON object that holds it: under any key, at any depth, as a key, in a free text."""
    spelling = draw(spellings())
    value, key, other = spelling.value, draw(_KEYS), draw(_KEYS)
    if isinstance(value, str) and draw(st.booleans()):
        before = draw(st.sampled_from(["VD Anna ", "pnr:", "(", "född 1981, ", "Nr "]))
        value = before + value + draw(st.sampled_from(["", ".", ", Växjö", ") 3 st"]))
    return spelling, draw(
        st.sampled_from(
            [{key: value}, {key: [{other: [value, None]}]}, {key: {str(value): [1]}}, {str(value): {key: 1}}]
        )
    )
