"""What an edge process reads when it starts, and again when a file with a secret was written."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

from app.periodic import PeriodicTask
from app.providers import registry
from app.providers.base import Authentication
from config.environment import Environment
from config.secret_files import Rereading
from config.settings import IngestSettings

_LOOK_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class EdgeSettings:
    """The settings of ingest, and each provider's authentication with its secrets."""

    ingest: IngestSettings
    authentications: Mapping[str, Authentication]

    @classmethod
    def read(cls, environment: Environment) -> Self:
        """Read from `environment`, which collects the faults."""
        settings = IngestSettings.read(environment)
        found = {name: registry.load_authentication(name, environment) for name in settings.providers}
        return cls(settings, {name: each for name, each in found.items() if each is not None})


class SecretWatch(PeriodicTask):
    """Looks at the secret files every two seconds, so that no request does."""

    def __init__(self, secrets: Rereading[EdgeSettings], take: Callable[[EdgeSettings], None]) -> None:
        """Call `take` with what was read again."""
        super().__init__("secret files", _LOOK_SECONDS)
        self._secrets = secrets
        self._take = take

    def once(self) -> None:
        """Take the secrets of files that were written."""
        if self._secrets.refresh():
            self._take(self._secrets.value)
