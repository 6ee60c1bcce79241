"""Every spelling of a national id, generated independently of the code that recognises them."""

from dataclasses import dataclass
from datetime import date
from typing import Any

from hypothesis import strategies as st

_SEPARATORS = (
    "",
    "-",
    "+",
    " ",
    "\u2013",
    "\u2014",
    "\u2010",
    "\u2212",
    "\u00a0",
    "\u202f",
    "\uff0d",
    "\uff0b",
    " - ",
    ".",
    "/",
    "_",
    "\u200b",
    "--",
)
_DIGITS = ("0123456789", "０１２３４５６７８９", "٠١٢٣٤٥٦٧٨٩")
_LETTERS = "TRSUWXJKLMN"


@dataclass(frozen=True, slots=True)
class Spelling:
    """A national id in one form. `value` is a text or a number; `serial` its last four digits or letters."""

    value: str | int
    serial: str
    ten: str

    def is_in(self, text: str) -> bool:
        """Return whether a text shows the serial of the id after its date of birth, in this or in a plain form."""
        plain = "".join(_plain(letter) for letter in text).upper()
        return self.ten.lstrip("0") in plain or (str(self.value) in text)


def _plain(letter: str) -> str:
    """Return a letter or digit in ASCII, and nothing for any other character."""
    for digits in _DIGITS:
        if letter in digits:
            return _DIGITS[0][digits.index(letter)]
    return letter if letter.isalnum() else ""


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
def spellings(draw: st.DrawFn, kinds: tuple[str, ...] = ("text", "spaced", "interim", "number")) -> Spelling:
    """Draw an id and one of its spellings."""
    century, ten = draw(personal_numbers())
    kind = draw(st.sampled_from(kinds))
    if kind == "number":
        prefix, suffix = draw(st.sampled_from([("", ""), (century, ""), ("16", ""), ("16", "01"), ("16", "001")]))
        return Spelling(int(prefix + ten + suffix), ten[6:], ten)
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
        return Spelling(text, serial, born + serial.upper().replace("Ｔ", "T"))
    if kind == "spaced":
        between = draw(st.sampled_from([each for each in _SEPARATORS if each]))
        text = between.join(prefix.removeprefix("SE") + ten)
    else:
        groups = draw(
            st.sampled_from([(born, serial), (born[:2], born[2:4], born[4:], serial), (born[:4], born[4:] + serial)])
        )
        text = prefix + separator.join(groups) + (separator + suffix if suffix else "")
    digits = draw(st.sampled_from(_DIGITS))
    return Spelling(text.translate(str.maketrans(_DIGITS[0], digits)), serial, ten)


_KEYS = st.sampled_from(
    ["ssn", "company_id", "name", "company_description", "personal_id", "application_id", "orgNr", "x"]
) | st.text("abcdefgh_åÄ", min_size=1, max_size=8)


@st.composite
def contents(draw: st.DrawFn, spelled: st.SearchStrategy[Spelling] | None = None) -> tuple[Spelling, dict[str, Any]]:
    """Draw a spelling, and a JSON object that holds it: under any key, at any depth, as a key, in a free text."""
    spelling = draw(spelled or spellings())
    value, key, other = spelling.value, draw(_KEYS), draw(_KEYS)
    if isinstance(value, str) and draw(st.booleans()):
        before = draw(st.sampled_from(["VD Anna ", "pnr:", "(", "född 1981, ", "Nr "]))
        value = before + value + draw(st.sampled_from(["", ".", ", Växjö", ") 3 st"]))
    return spelling, draw(
        st.sampled_from(
            [{key: value}, {key: [{other: [value, None]}]}, {key: {str(value): [1]}}, {str(value): {key: 1}}]
        )
    )
