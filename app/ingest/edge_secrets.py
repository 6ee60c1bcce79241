"""What an edge process reads when it starts, and again when a file with a secret was written."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

from app.providers import registry
from app.providers.base import Authentication
from config.environment import Environment
from config.secret_files import Rereading
from config.settings import IngestSettings

_LOOK_SECONDS = 2.0
logger = logging.getLogger(__name__)


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


class SecretWatch(threading.Thread):
    """Looks at the secret files every two seconds, so that no request does."""

    def __init__(self, secrets: Rereading[EdgeSettings], take: Callable[[EdgeSettings], None]) -> None:
        """Call `take` with what was read again."""
        super().__init__(name="secret-watch", daemon=True)
        self._secrets = secrets
        self._take = take

    def run(self) -> None:
        """Look until the process ends."""
        while True:
            time.sleep(_LOOK_SECONDS)
            try:
                if self._secrets.refresh():
                    self._take(self._secrets.value)
            except Exception:
                logger.exception("secret_watch_failed")
