"""Everything that is measured, running side by side: Kvitto and the baselines that are servers."""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.storage.connection import create_database
from benchmarks.baselines.servers import EDGES, empty_view, nginx, tutorial
from benchmarks.receivers import OurReceiver, TutorialReceiver
from tests.support import servers
from tests.support.kvitto_process import PROGRAM, SECRETS, Running, running
from tests.support.process_tree import below, named


@dataclass(frozen=True, slots=True)
class Setup:
    """Where everything is. `append_url`: the Valkey of the baselines."""

    folder: Path
    ours: OurReceiver
    theirs: TutorialReceiver
    empty: str
    nginx: str
    append_url: str
    server: str

    @property
    def kvitto(self) -> Running:
        """Kvitto itself."""
        return self.ours.kvitto

    def processes(self) -> dict[str, list[int]]:
        """Return the processes of Kvitto and of its servers, by what they are."""
        pid = self.kvitto.process.pid
        postgres = named(os.getpid(), "postgres", str(self.folder / "ours"))
        valkey = named(os.getpid(), "valkey-server", self.kvitto.redis.rpartition(":")[2].partition("/")[0])
        return {
            "ingest": named(pid, "kvitto ingest"),
            "worker": self.kvitto.workers(),
            "beat": named(pid, "celery beat"),
            "console": named(pid, "kvitto console"),
            "Postgres": [each for parent in postgres for each in (parent, *below(parent))],
            "Redis": valkey,
        }


@contextmanager
def started(folder: Path, concurrency: int = 2, more: Mapping[str, str] | None = None) -> Iterator[Setup]:
    """Start everything, Kvitto with `more` settings; Postgres notes when each transaction was committed."""
    with ExitStack() as running_:
        for name in ("ours", "theirs", "bare"):
            (folder / name).mkdir()
        postgres = running_.enter_context(servers.postgres(folder / "ours", "-c", "track_commit_timestamp=on"))
        redis = running_.enter_context(servers.valkey(folder / "ours"))
        create_database(postgres, "kvitto")
        settings = {
            "PROVIDERS": "kompar",
            "DATABASE_URL": postgres.replace("/postgres", "/kvitto"),
            "REDIS_URL": redis,
            **(more or {}),
        }
        # A list, so that it is a program of its own, with no module of another: memory is measured.
        scale = ("--concurrency", str(concurrency), "--ingest-processes", str(EDGES))
        found = running_.enter_context(
            running(folder / "ours" / "data", SECRETS | settings, *scale, program=[*PROGRAM])
        )
        yield Setup(
            folder=folder,
            ours=OurReceiver(found),
            theirs=TutorialReceiver(running_.enter_context(tutorial(folder / "theirs", postgres))),
            empty=running_.enter_context(empty_view(folder)),
            nginx=running_.enter_context(nginx(folder)),
            append_url=running_.enter_context(servers.valkey(folder / "bare")),
            server=postgres,
        )
