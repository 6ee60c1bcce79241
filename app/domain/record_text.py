"""What a person may write into a record that is kept for good: a name, a reason."""

import unicodedata

from app.domain.national_ids import mask_text

# Largest number of characters.
OPERATOR_LENGTH = 64
REASON_LENGTH = 500


def record_problem(text: str, length: int) -> str | None:
    """Return why a text of at most `length` characters cannot be recorded, None if it can; never quotes it."""
    if not text:
        return "is empty"
    if len(text) > length:
        return f"is longer than {length} characters"
    if not text.isprintable():
        return "holds a line break or another character that cannot be seen"
    plain = unicodedata.normalize("NFKC", text)  # digits of other widths are digits
    return "holds a national id" if mask_text(plain) != plain else None
