"""Which test process runs which module."""

from typing import Any

from xdist.scheduler import LoadFileScheduling

# Of seven processes, those that begin with modules without a whole Kvitto. With two, both often wait at once.
_COMPUTING = ("gw0", "gw1", "gw2")


def has_whole_kvitto(tier: str) -> bool:
    """Return whether tests of a folder of tests/ have a whole Kvitto, and so wait most of the time."""
    return tier in ("e2e", "browser")


class TwoQueues(LoadFileScheduling):  # type: ignore[misc]
    """Modules go to processes in their order: to the first three those that compute, to the others those that wait.

    So the cores are busy from start to end, and fewer processes keep a Kvitto. Each takes what is left at the end.
    """

    def _assign_work_unit(self, node: Any) -> None:  # which the library has for its own subclasses
        computes = node.gateway.id in _COMPUTING
        fitting = (module for module in self.workqueue if has_whole_kvitto(module.split("/")[1]) is not computes)
        if module := next(fitting, None):
            self.workqueue.move_to_end(module, last=False)
        super()._assign_work_unit(node)
