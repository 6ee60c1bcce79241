"""The roles that a person may have in the console; app.console.access says what each may do."""

from typing import Literal, TypeGuard, get_args

Role = Literal["viewer", "operator", "privacy"]
ROLES: tuple[Role, ...] = get_args(Role)


def is_role(text: str) -> TypeGuard[Role]:
    """Return whether a text is the name of a role."""
    return text in ROLES
