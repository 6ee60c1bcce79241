"""The address of a provider's API: HTTPS only."""

from dataclasses import dataclass

from app.domain.web_address import address_problem
from config.environment import Environment
from config.settings import trusted_authority


@dataclass(frozen=True, slots=True)
class ApiAddress:
    """Base URL of an API and the setting it comes from; `authority` is a file with a CA to trust as well."""

    setting: str
    url: str
    authority: str = ""

    @classmethod
    def read(cls, environment: Environment, setting: str, default: str) -> "ApiAddress":
        """Read the setting, which must be an HTTPS address, and CA_FILE."""
        url = environment.url(setting, ("https",), default).rstrip("/")
        if url and (problem := address_problem(url)):
            environment.fault(setting, problem, "Write it like https://host/path")
        return cls(setting, url, trusted_authority(environment))
