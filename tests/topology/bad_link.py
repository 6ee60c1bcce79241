"""A cable that loses and delays packets: `python -m tests.topology.bad_link DEVICE DEVICE LOSS_PERCENT DELAY_MS`.

Makes two TAP devices and passes frames between them, until it is ended.
"""

import asyncio
import fcntl
import os
import random
import struct
import sys
from contextlib import suppress

# Of linux/if_tun.h.
_TUNSETIFF, _TAP_WITHOUT_HEADER = 0x400454CA, 0x0002 | 0x1000
_LONGEST_FRAME = 65_536


def _tap(name: str) -> int:
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _TAP_WITHOUT_HEADER))
    return device


async def _pass_on(devices: tuple[int, int], loss: float, delay_seconds: float) -> None:
    loop = asyncio.get_running_loop()

    def write(device: int, frame: bytes) -> None:
        with suppress(OSError):  # a device that is down or full loses it, as a cable does
            os.write(device, frame)

    def read(source: int, target: int) -> None:
        with suppress(OSError):
            frame = os.read(source, _LONGEST_FRAME)
            if random.random() >= loss:
                loop.call_later(delay_seconds, write, target, frame)

    for source, target in (devices, devices[::-1]):
        loop.add_reader(source, read, source, target)
    await asyncio.Event().wait()


def main(first: str, second: str, loss_percent: float, delay_ms: float) -> None:
    """Make the devices, say `ready`, and pass on what comes."""
    devices = _tap(first), _tap(second)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    asyncio.run(_pass_on(devices, loss_percent / 100, delay_ms / 1000))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4]))
