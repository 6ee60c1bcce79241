"""How long something lasts, in words."""


def in_words(seconds: float) -> str:
    """Return a duration in the largest unit that fits, rounded down."""
    whole = max(0, int(seconds))
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if whole >= size:
            return f"{whole // size} {unit}"
    return f"{whole} s"
