"""Recognise Swedish national ids and organisation numbers, in whatever form they are written.

A national id is a personnummer, a samordningsnummer (60 added to the day of birth) or an interim number (a letter in
place of the first digit of the serial). Providers write it with 16, 18, 19, 20 or SE before it, with a suffix of two
or three digits after it (VAT numbers, further firms of one owner), with any separators, in the digits of any script,
and as a number that lost its leading zeros.
"""

import re
import unicodedata
from collections.abc import Iterator
from datetime import date
from typing import Any, NamedTuple

from stdnum import iban, luhn

MASK = "****"
_CENTURIES = frozenset({"18", "19", "20"})
_PREFIXES = _CENTURIES | {"16"}
_SUFFIX_LENGTHS = (0, 2, 3)
_LONGEST = 17
_SHORTEST_NUMBER = 7  # somebody born on the first of January 2000: 0001011234 as a number
# Up to eight characters between two digits that are neither letters nor digits. A colon separates hours from minutes.
_GAP = r"(?:[^\w:]|_){0,8}"
_DIGIT = r"[\d\u00b2\u00b3\u00b9\u2070-\u2089\u2460-\u2468\u24ea]"
# Nearly every text lacks this, so that nothing else is done with it.
_SEVERAL_DIGITS = re.compile(rf"(?:{_DIGIT}.{{0,8}}?){{6}}", re.DOTALL)
_LETTER = re.compile(r"[^\W\d_]")
_RUN = re.compile(rf"[0-9](?:{_GAP}[0-9]){{9,}}")
_GROUP = re.compile(r"[0-9]+")
_DATE = r"[0-9]{2}(?:0[1-9]|1[0-2])(?:[06][1-9]|[1278][0-9]|3[01]|9[01])"
_BIRTH_DATE = re.compile(_DATE)
_POSSIBLE = re.compile(rf"(?:16|18|19|20){{0,2}}{_DATE}[0-9]{{4,7}}")
_USUAL_FORM = re.compile(r"((?:[0-9]{2})?[0-9]{6})([-+]?)([0-9]{4})")
# An interim number from its letter on, and the digits before it.
_SERIAL = re.compile(rf"[TRSUWXJKLMNtrsuwxjklmn]{_GAP}[0-9]{_GAP}[0-9]{_GAP}[0-9](?:{_GAP}[0-9]{{2}})?(?![0-9])")
_DATE_BEFORE = re.compile(rf"(?:[0-9]{_GAP}){{6,10}}\Z")
_LONGEST_DATE = 90
# For one separator: a colon before four digits, an escape of HTML or of a URL.
_SEPARATOR = re.compile(r"(?<=[0-9]{6}):(?=[0-9]{4}(?![0-9]))|&(?:#[0-9]{1,4}|[A-Za-z]{2,6});|%[0-9A-Fa-f]{2}")
# Letters that join a number to other digits in an opaque id.
_ID_BEFORE = re.compile(r"[0-9][A-Fa-fx]+\Z")
_ID_AFTER = re.compile(r"[A-Fa-fx]+[0-9]")
_LONGEST_ID = 64


class _Plain(dict[int, str]):
    """Maps a character to its ASCII digit, letter or hyphen, where it has one. Positions in a text stay the same."""

    def __missing__(self, code: int) -> str:
        letter = chr(code)
        digit = unicodedata.digit(letter, None)
        folded = unicodedata.normalize("NFKC", letter)
        if digit is not None:
            folded = str(digit)
        elif letter == "\N{MINUS SIGN}" or unicodedata.category(letter) == "Pd":
            folded = "-"
        elif len(folded) != 1:
            folded = letter
        self[code] = folded
        return folded


_PLAIN = _Plain()


class Reading(NamedTuple):
    """One way to read digits: the ten digits of the number, and the century if a prefix names one."""

    ten: str
    century: str

    @property
    def may_be_person(self) -> bool:
        """Whether the third digit is that of a month. Organisations have 2 or more there."""
        return self.ten[2] < "2"

    @property
    def has_birth_date(self) -> bool:
        """Whether the first six digits may be a date of birth."""
        return _BIRTH_DATE.match(self.ten) is not None

    @property
    def is_valid_person(self) -> bool:
        """Whether it is a valid personnummer or samordningsnummer; without a century, in the 20th or in the 21st."""
        year, month, day = self.ten[:2], int(self.ten[2:4]), int(self.ten[4:6])
        centuries = [self.century] if self.century else ["19", "20"]
        day = day - 60 if day > 60 else day
        return _has_check_digit(self.ten) and any(_is_date(int(century + year), month, day) for century in centuries)

    @property
    def masked(self) -> str:
        """The date of birth, with the century if it is known, and a mask."""
        return f"{self.century}{self.ten[:6]}-{MASK}" if self.has_birth_date else MASK


def readings(digits: str, century: str = "") -> list[Reading]:
    """Return every way to read ten digits between prefixes and a suffix, the shortest prefix first."""
    found = [Reading(digits[:10], century)] if len(digits) - 10 in _SUFFIX_LENGTHS else []
    if len(digits) >= 12 and digits[:2] in _PREFIXES:
        found += readings(digits[2:], digits[:2] if digits[:2] in _CENTURIES else "")
    return found


def mask_text(text: str) -> str:
    """Return a text, such as a note or a key, with every national id in it masked.

    Masked are numbers with a possible date of birth that pass the check digit, or that are written as national ids
    are: six or eight digits, a hyphen or plus, four digits. A valid IBAN stays.
    """
    if not _SEVERAL_DIGITS.search(text):
        return text
    plain = to_plain(text)
    if plain.isdecimal():
        return _mask_number(plain) or text
    if not plain.isalnum():
        plain = _SEPARATOR.sub(lambda separator: "-" + " " * (len(separator[0]) - 1), plain)
    found = sorted([*_find_numbers(plain), *_find_interim_numbers(plain)])
    if not found or iban.is_valid(plain):
        return text
    parts, position = [], 0
    for start, end, found_readings in found:
        if start >= position:
            parts += [text[position:start], found_readings[0].masked]
        position = max(position, end)
    return "".join([*parts, text[position:]])


def person_numbers(text: str, is_national_id: bool = False) -> set[str]:
    """Return every national id that a text may hold, each in one spelling: ten digits, or a letter as the seventh.

    A number counts even if its check digit is wrong: the key of the text may say what it is. With `is_national_id`,
    twelve digits are no number of ten with a suffix, which another person may have.
    """
    if usual := _USUAL_FORM.fullmatch(text):
        found = [reading for reading in readings(usual[1] + usual[3]) if reading.has_birth_date]
        exact = [reading for reading in found if reading.century and (usual[2] or is_national_id)]
        return {reading.ten for reading in exact or found}
    plain = _SEPARATOR.sub(lambda separator: "-" + " " * (len(separator[0]) - 1), to_plain(text))
    numbers = {number for run in _RUN.findall(plain) for number in _numbers_within(_GROUP.findall(run))}
    if len(digits := _digits(plain)) >= _SHORTEST_NUMBER and not _LETTER.search(_without_country(text)):
        numbers.add(digits.zfill(10))
    found = [reading for number in numbers for reading in readings(number) if reading.has_birth_date]
    found += [reading for _, _, of_place in _find_interim_numbers(plain) for reading in of_place]
    return {reading.ten for reading in found}


def _numbers_within(groups: list[str]) -> Iterator[str]:
    """Yield every number that neighbouring groups of digits make, if it is long enough and not too long."""
    for first in range(len(groups)):
        number = ""
        for group in groups[first : first + _LONGEST]:
            number += group
            if 10 <= len(number) <= _LONGEST:
                yield number


def mask_id(text: str) -> str:
    """Return the date of birth of what is certainly meant as a national id, masked; a bare mask if it has none."""
    plain = to_plain(text)
    if _LETTER.search(plain):
        for _, _, found in _find_interim_numbers(plain):
            return found[0].masked
    digits = _digits(plain)
    padded = digits.zfill(10) if len(digits) >= _SHORTEST_NUMBER else digits
    return next((reading.masked for reading in readings(padded) if reading.has_birth_date), MASK)


def mask_company_number(text: str) -> str:
    """Return a company's number unless it may be the national id of its owner, a sole trader: then masked."""
    if organisation_number(text) is not None:
        return text
    plain = _without_country(text)
    if _LETTER.search(plain):
        return mask_text(text)
    return mask_id(text) if len(_digits(plain)) > 5 else text


def organisation_number(text: str) -> str | None:
    """Return the ten digits of a number that is surely an organisation's, None for any other text."""
    plain = _without_country(text)
    found = [] if _LETTER.search(plain) else readings(_digits(plain))
    if not found or any(reading.may_be_person for reading in found):
        return None
    return _likeliest(found)


def ten_digits(number: Any) -> str | None:
    """Return the ten digits of a personal or company number, the same for every spelling; None for anything else."""
    if isinstance(number, bool) or not isinstance(number, (str, int)):
        return None
    plain = _without_country(str(number))
    digits = _digits(plain)
    if _LETTER.search(plain) or not 9 <= len(digits) <= 13:
        return None
    padded = digits.zfill(10)
    return _likeliest(readings(padded) or [Reading(padded[:10], "")])


def _likeliest(found: list[Reading]) -> str:
    """Return the ten digits of the reading whose check digit is right, or else of the one with the longest prefix."""
    tens = [reading.ten for reading in reversed(found)]  # prefixes are more common than suffixes
    return next(filter(_has_check_digit, tens), tens[0])


def is_national_id(text: str) -> bool:
    """Return whether a text is a valid personnummer or samordningsnummer in one of its usual forms."""
    found = _USUAL_FORM.fullmatch(text.strip())
    return found is not None and any(
        each.is_valid_person for each in readings(found[1] + found[3]) if len(found[1]) == 6 or each.century
    )


def is_company_number(text: str) -> bool:
    """Return whether a text is a valid organisation number, or the valid national id of a sole trader."""
    organisation = organisation_number(text)
    if organisation is not None:
        return _has_check_digit(organisation)
    plain = _without_country(text)
    is_number = not _LETTER.search(plain)
    return is_number and any(reading.is_valid_person for reading in readings(_digits(plain)))


def to_plain(text: str) -> str:
    """Return a text of the same length with ASCII digits, letters and hyphens."""
    return text if text.isascii() else text.translate(_PLAIN)


def _digits(plain: str) -> str:
    return "".join(_GROUP.findall(plain))


def _without_country(text: str) -> str:
    return to_plain(text).strip().upper().removeprefix("SE")


def _mask_number(digits: str) -> str | None:
    """Return the mask of a text of nothing but digits, which may have lost its leading zeros; None if it stays."""
    if len(digits) < _SHORTEST_NUMBER:
        return None
    return next((reading.masked for reading in readings(digits.zfill(10)) if _passes(reading)), None)


def _passes(reading: Reading) -> bool:
    return reading.has_birth_date and _has_check_digit(reading.ten)


def _has_check_digit(ten: str) -> bool:
    """Return whether the last of ten digits is right."""
    return luhn.checksum(ten) == 0


def _find_numbers(plain: str) -> Iterator[tuple[int, int, list[Reading]]]:
    """Yield start, end and readings of each national id of digits. It begins and ends where groups of digits do."""
    for run in _RUN.finditer(plain):
        if run[0].isdecimal() and not _POSSIBLE.fullmatch(run[0]):
            continue
        groups = [group.span() for group in _GROUP.finditer(plain, run.start(), run.end())]
        first = 0
        while first < len(groups):
            last, passing = _longest_number(plain, groups, first)
            if passing:
                yield groups[first][0], groups[last][1], passing
            first = last + 1


def _longest_number(plain: str, groups: list[tuple[int, int]], first: int) -> tuple[int, list[Reading]]:
    """Return the last group of the longest national id that begins with a group, and its readings, if there is one."""
    digits = ""
    found: tuple[int, list[Reading]] = (first, [])
    for last in range(first, len(groups)):
        digits += plain[slice(*groups[last])]
        if len(digits) > _LONGEST:
            break
        if not _POSSIBLE.fullmatch(digits):
            continue
        if _is_usual_form(plain, groups[first : last + 1]):
            passing = [reading for reading in readings(digits) if reading.has_birth_date]
        elif _is_part_of_an_id(plain, groups[first][0], groups[last][1]):
            continue
        else:
            passing = [reading for reading in readings(digits) if _passes(reading)]
        if passing:
            found = (last, passing)
    return found


def _is_usual_form(plain: str, groups: list[tuple[int, int]]) -> bool:
    """Return whether groups are six or eight digits, a hyphen or a plus, and four digits."""
    if len(groups) != 2:
        return False
    (start, middle), (after, end) = groups
    return middle - start in (6, 8) and end - after == 4 and plain[middle:after].strip() in ("-", "+")


def _is_part_of_an_id(plain: str, start: int, end: int) -> bool:
    """Return whether hexadecimal letters join a number to other digits, as in an opaque id. Words may touch it."""
    before, after = _ID_BEFORE.search(plain, max(0, start - _LONGEST_ID), start), _ID_AFTER.match(plain, end)
    return before is not None or after is not None


def _find_interim_numbers(plain: str) -> Iterator[tuple[int, int, list[Reading]]]:
    """Yield start, end and reading of each national id with a letter in its serial."""
    for serial in _SERIAL.finditer(plain):
        before = _DATE_BEFORE.search(plain, max(0, serial.start() - _LONGEST_DATE), serial.start())
        if before:
            digits = _digits(before[0])
            century = digits[-8:-6] if digits[-8:-6] in _CENTURIES else ""
            letter = serial[0][0].upper()
            reading = Reading(f"{digits[-6:]}{letter}{_digits(serial[0])[:3]}", century)
            if reading.has_birth_date:
                yield before.start(), serial.end(), [reading]


def _is_date(year: int, month: int, day: int) -> bool:
    try:
        return bool(date(year, month, day))
    except ValueError:
        return False
