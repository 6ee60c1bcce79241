"""One sweep of one provider's inbox, in a process of its own: `python -m workers.stand_in PROVIDER WORKER`."""

import sys
from uuid import UUID

import config.logging
from workers import lifecycle
from workers.slots import Slot


def main(provider: str, worker: str) -> None:
    """Tell the slot's name, then sweep in the name of the worker whose main process asks for it."""
    config.logging.configure()
    slot = Slot(worker=UUID(worker))
    print(slot.name, flush=True)  # noqa: T201 - what the standby reads
    station = lifecycle.make_station(provider, slot)
    station.start()
    station.sweep()


if __name__ == "__main__":
    main(*sys.argv[1:])
