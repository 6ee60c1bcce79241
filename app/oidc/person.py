"""Who signs in, and with which role: what the claims of an ID token mean by the settings."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from app.domain.national_ids import mask_text
from app.domain.record_text import OPERATOR_LENGTH, record_problem
from app.errors import SignInError
from config.console_roles import Role
from config.oidc import OidcSettings

_LONGEST_SUBJECT = 255  # OpenID Connect allows no longer one


class Person(NamedTuple):
    """A person; `subject` is how the issuer identifies the person, without national ids."""

    name: str
    role: Role
    subject: str


def has_claims(claims: Mapping[str, Any], settings: OidcSettings) -> bool:
    """Return whether claims hold what `read_person` needs."""
    return None not in (claim(claims, settings.name_claim), claim(claims, settings.roles_claim))


def read_person(claims: Mapping[str, Any], settings: OidcSettings) -> Person:
    """Return whose claims these are; raises SignInError if the person has no name or no role."""
    return Person(
        _name(claims, settings.name_claim), _role(claims, settings), mask_text(claims["sub"])[:_LONGEST_SUBJECT]
    )


def claim(claims: Mapping[str, Any], path: str) -> Any:
    """Return a claim, None if it is missing; `a.b` is `b` within `a`, unless a claim has that very name."""
    if path in claims:
        return claims[path]
    name, _, rest = path.partition(".")
    inner = claims.get(name)
    return claim(inner, rest) if rest and isinstance(inner, Mapping) else None


def _name(claims: Mapping[str, Any], path: str) -> str:
    name = claim(claims, path)
    problem = record_problem(name, OPERATOR_LENGTH) if isinstance(name, str) else "is missing"
    if path == "email" and claims.get("email_verified") is False:
        problem = "is an address that is not verified"
    if problem:
        hint = "An administrator chooses another OIDC_NAME_CLAIM, or corrects the account at the identity provider"
        raise SignInError("no-name", f"The identity provider gives no usable name: the claim {path} {problem}", hint)
    return str(name)


def _role(claims: Mapping[str, Any], settings: OidcSettings) -> Role:
    found = claim(claims, settings.roles_claim)
    values = found if isinstance(found, list) else [found]
    for role, value in settings.roles:
        if value in values:
            return role
    detail = "You are signed in at the identity provider, and have no role in this console"
    hint = (
        f"Ask an administrator for a group that OIDC_ROLES lists; it is looked for in the claim {settings.roles_claim}"
    )
    raise SignInError("no-role", detail, hint)
