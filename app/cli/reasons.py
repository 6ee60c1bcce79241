"""Reasons that an operator gives, kept for good: none may hold a national id."""

import click

from app.masking import mask_text


def without_national_id(context: click.Context, option: click.Parameter, reason: str | None) -> str | None:
    """Return the reason that was given, trimmed; to be an option's callback."""
    if reason is not None and (not reason.strip() or mask_text(reason) != reason):
        raise click.BadParameter("give a reason that holds no national id, a case's number say", context, option)
    return None if reason is None else reason.strip()
