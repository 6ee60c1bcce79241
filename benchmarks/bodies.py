"""Bodies to post: applications of people who do not exist, each encrypted under an IV of its own."""

from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path
from random import Random

from app.sandbox import fake_kompar
from app.sandbox.kompar import encrypt
from tests.support.providers.kompar_fixtures import KEY

# Base64 of ciphertext, and the braces around it.
_GROWTH, _AROUND = 4 / 3, 100
# The size of a usual one.
USUAL = 500
# No two bodies of a process are about the same application.
_numbers = count()


def applications(number: int, size: int = USUAL) -> Iterator[dict[str, object]]:
    """Yield so many applications, none of them yielded before, whose bodies have about `size` bytes, 500 at least."""
    return again((next(_numbers) for _ in range(number)), size)


def next_seed() -> int:
    """Return the seed of the next application to be yielded first."""
    return next(_numbers) + 1


def again(seeds: Iterable[int], size: int = USUAL) -> Iterator[dict[str, object]]:
    """Yield the applications of these seeds."""
    for seed in seeds:
        found = fake_kompar.application(Random(seed))
        found["application_id"] = f"{seed}x{found['application_id']}"
        if size > 1000:
            found["description_of_property"] = "x" * round((size - _AROUND) / _GROWTH - 380)
        yield found


def write(path: Path, documents: Iterable[dict[str, object]]) -> int:
    """Encrypt into a file, four bytes of length before each body; return how many."""
    number = 0
    with path.open("wb") as file:
        for document in documents:
            body = encrypt(document, KEY)
            file.write(len(body).to_bytes(4, "big") + body)
            number += 1
    return number
