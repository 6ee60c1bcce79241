"""The settings of sign-in by OpenID Connect."""

from dataclasses import dataclass
from importlib.util import find_spec
from urllib.parse import urlsplit

from config.console_roles import ROLES, Role, is_role
from config.declarations import DEFAULTS
from config.environment import Environment
from config.web_address import is_loopback

_NEEDED = ("CONSOLE_URL", "OIDC_CLIENT_ID", "OIDC_CLIENT_SECRET", "OIDC_ROLES")


@dataclass(frozen=True, slots=True)
class OidcSettings:
    """The provider, the client that the console is there, and what the claims about a person mean.

    `roles` are (role, value of the claim), in the order in which they are compared. `console_url` has no path.
    """

    issuer: str
    client_id: str
    client_secret: str
    scopes: str
    name_claim: str
    roles_claim: str
    roles: tuple[tuple[Role, str], ...]
    console_url: str

    @property
    def host(self) -> str:
        """The host of the provider, by which people know it."""
        return urlsplit(self.issuer).netloc


def oidc(environment: Environment) -> OidcSettings | None:
    """Return the settings of the sign-in; None if OIDC_ISSUER is not set: all people log in with a password."""
    before = len(environment.faults)
    settings = OidcSettings(
        issuer=environment.url("OIDC_ISSUER", ("https",), ""),
        client_id=environment.secret("OIDC_CLIENT_ID", ""),
        client_secret=environment.secret("OIDC_CLIENT_SECRET", ""),
        scopes=_scopes(environment),
        name_claim=environment.text("OIDC_NAME_CLAIM", DEFAULTS["OIDC_NAME_CLAIM"]),
        roles_claim=environment.text("OIDC_ROLES_CLAIM", DEFAULTS["OIDC_ROLES_CLAIM"]),
        roles=_roles(environment),
        console_url=_console_url(environment),
    )
    if not settings.issuer:
        return None
    for name in _NEEDED:
        if not environment.is_set(name):
            environment.fault(name, "is not set, and OIDC_ISSUER is", f"Set {name}, or remove OIDC_ISSUER")
    if find_spec("authlib") is None:
        hint = "pip install 'kvitto[oidc]', or remove the setting"
        environment.fault("OIDC_ISSUER", "needs Authlib, which is not installed", hint)
    return settings if len(environment.faults) == before else None


def _scopes(environment: Environment) -> str:
    """Return the scopes that are asked for, separated by spaces."""
    scopes = environment.text("OIDC_SCOPES", DEFAULTS["OIDC_SCOPES"])
    if "openid" not in scopes.split():
        environment.fault("OIDC_SCOPES", "lacks openid", "Write it like: openid profile groups")
    return scopes


def _roles(environment: Environment) -> tuple[tuple[Role, str], ...]:
    """Return (role, value of the claim), in order."""
    pairs = environment.labelled_secrets("OIDC_ROLES", "", min_length=1)
    if not all(is_role(role) for role, _ in pairs):
        hint = "Write it like operator=payments-team,viewer=support, and a comma within a value as %2C"
        environment.fault("OIDC_ROLES", f"may give {', '.join(ROLES)} only", hint)
    return tuple((role, value) for role, value in pairs if is_role(role))


def _console_url(environment: Environment) -> str:
    """Return the address by which people reach the console: its scheme and host, and its port if it has one."""
    before = len(environment.faults)
    url = environment.url("CONSOLE_URL", ("https", "http"), "").rstrip("/")
    if url and len(environment.faults) == before:
        parts = urlsplit(url)
        if parts.path or parts.query:
            environment.fault("CONSOLE_URL", "has a path", "Give the scheme and the host: https://kvitto.example.com")
        if parts.scheme == "http" and not is_loopback(url):
            hint = "Put a proxy with TLS before the console, and give the proxy's https:// address"
            environment.fault("CONSOLE_URL", "leads over a network without TLS", hint)
    return url
