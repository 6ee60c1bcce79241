"""Swedish personal and company numbers in one form, whatever their spelling."""

import unicodedata
from typing import Any

from stdnum import luhn


def ten_digits(number: Any) -> str | None:
    """Return the ten digits of a personal or company number in any spelling; None for anything else.

    A century, 16 or SE may stand before them, a number of the firm or 01 behind them.
    """
    if isinstance(number, bool) or not isinstance(number, (str, int)):
        return None
    text = unicodedata.normalize("NFKC", str(number)).strip().upper().removeprefix("SE")
    digits = "".join(str(int(letter)) for letter in text if letter.isdecimal())
    if any(map(str.isalpha, text)) or not 9 <= len(digits) <= 13:
        return None
    candidates = [digits[2:]] if len(digits) == 12 and digits.startswith(("16", "19", "20")) else []
    candidates.append(digits.zfill(10)[:10])
    return next(filter(luhn.is_valid, candidates), candidates[0])
