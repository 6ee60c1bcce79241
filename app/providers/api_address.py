"""Where APIs are, by HTTPS alone, and receivers."""

from dataclasses import dataclass

from app.domain.web_address import address_problem
from config.environment import Environment
from config.settings import trusted_authority


@dataclass(frozen=True, slots=True)
class ApiAddress:
    """Where an API is, by the setting that says so; `authority` is a file with one to trust besides the usual ones."""

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
