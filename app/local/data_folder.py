"""The data folder: what survives a restart on one machine, and how other commands find what runs there."""

import base64
import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from app.local import atomic_file
from app.local.machine import LocalError
from app.providers import registry

_LOCK_SECONDS = 10.0


class DataFolder:
    """A data folder: postgres/, valkey/, logs/, secrets/, the settings of what runs there and where its metrics are."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.postgres = self.folder / "postgres"
        self.valkey = self.folder / "valkey"
        self.logs = self.folder / "logs"
        self._metrics = self.folder / "metrics.json"
        self._secrets = self.folder / "secrets"
        self._environment = self.folder / "environment.json"

    @property
    def sandbox(self) -> "DataFolder":
        """The sandbox's own data folder, within this one."""
        return DataFolder(self.folder / "sandbox")

    def open(self) -> int:
        """Create the folder, readable by its owner only, and lock it.

        Return a file descriptor. The lock lasts until every process that inherits the descriptor has ended. Raise
        LocalError if another process holds it, or if the folder cannot be written.
        """
        try:
            for folder in (self.folder, self.logs, self._secrets):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = self._lock(_LOCK_SECONDS)
        except OSError as error:
            raise self._unusable("written", error) from error
        return descriptor

    @contextmanager
    def exclusive(self, seconds: float) -> Iterator[None]:
        """Create the folder and lock it for a block; raise LocalError if another process keeps it so many seconds."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = self._lock(seconds)
        try:
            yield
        finally:
            os.close(descriptor)

    def secret_files(self, names: tuple[str, ...], given: Mapping[str, str]) -> dict[str, str]:
        """Return NAME_FILE for every secret that `given` lacks; each is generated once and kept."""
        generated = {
            "SEALING_KEYS": f"development={_key()}",
            "FINGERPRINT_KEY": _key(),
            "CONSOLE_PASSWORD": secrets.token_urlsafe(12),
            "CANARY_SECRET": secrets.token_urlsafe(24),
        }
        for provider in names:
            generated |= registry.development_secrets(provider)
        missing = {name: value for name, value in generated.items() if not {name, f"{name}_FILE"} & given.keys()}
        for name, value in missing.items():
            atomic_file.keep(self._secrets / name, value.encode())
        return {f"{name}_FILE": str(self._secrets / name) for name in missing}

    def publish(self, environment: Mapping[str, str]) -> None:
        """Write the settings of what runs here, for other commands."""
        atomic_file.write(self._environment, json.dumps(dict(environment), indent=2).encode())

    def publish_metrics(self, addresses: Mapping[str, str]) -> None:
        """Write where processes serve their metrics, by name, as Prometheus' file_sd_configs read it."""
        targets = [{"targets": [address], "labels": {"service": name}} for name, address in addresses.items()]
        atomic_file.write(self._metrics, json.dumps(targets, indent=2).encode())

    def withdraw(self) -> None:
        """Remove what `publish` wrote."""
        self._environment.unlink(missing_ok=True)

    def published(self) -> dict[str, str]:
        """Return what `publish` wrote, empty if nothing ever ran here; raise LocalError if it cannot be read."""
        try:
            published: dict[str, str] = json.loads(self._environment.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise self._unusable("read", error) from error
        return published

    def _lock(self, seconds: float) -> int:
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    os.close(descriptor)
                    hint = "stop what serves from it, or name another with --data"
                    raise LocalError(f"{self.folder} is in use; {hint}") from None
                time.sleep(0.1)
            else:
                return descriptor

    def _unusable(self, verb: str, error: Exception) -> LocalError:
        reason = error.strerror if isinstance(error, OSError) else "environment.json is damaged"
        hint = "name another folder with --data, or repair this one"
        return LocalError(f"{self.folder} cannot be {verb} ({reason}); {hint}")


def _key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()
