"""Workers have identities of their own, even as forks of one process that has imported all their modules."""

import subprocess
import sys

from tests.support.kvitto_process import ROOT
from tests.support.servers import bare_environment

FORKS = """
import os
from workers import lifecycle
for worker in range(2):
    if os.fork() == 0:
        lifecycle.worker_id()  # the worker's parent process asks first
        for child in range(2):
            if os.fork() == 0:
                print(lifecycle.worker_id(), flush=True)
                os._exit(0)
            os.wait()
        os._exit(0)
    os.wait()
"""


def test_children_of_a_worker_share_its_identity_and_workers_do_not() -> None:
    line = [sys.executable, "-c", FORKS]
    done = subprocess.run(line, env=bare_environment(), cwd=ROOT, capture_output=True, text=True, check=True)
    first, second = done.stdout.split()[:2], done.stdout.split()[2:]
    assert (len(set(first)), len(set(second)), len({*first, *second})) == (1, 1, 2)
