"""Rules for settings that are valid and still dangerous."""

from collections.abc import Collection, Iterator, Mapping
from itertools import combinations

from config.checks.result import CheckResult, fault, ok, warning
from config.environment import MIN_SECRET_LENGTH

# Secrets by the setting's name: every value that it lists.
Secrets = Mapping[str, tuple[str, ...]]
# (host, port)
Address = tuple[str, int]

_ALL_ADDRESSES = ("", "0.0.0.0", "::", "*")  # noqa: S104 - compared, not bound


def check_secrets(secrets: Secrets) -> list[CheckResult]:
    """Check that secrets are long, and that no two settings share a value."""
    good = [ok("secrets", f"{len(secrets)} settings, none short or shared")] if secrets else []
    return [*_short(secrets), *_shared(secrets)] or good


def check_files(modes: Mapping[str, int]) -> list[CheckResult]:
    """Check the permissions of secret files, by the setting that names each."""
    good = [ok("secret files", f"{len(modes)}, none open to others")] if modes else []
    return [
        warning(name, f"names a file that others may read (mode {mode:04o})", "Make it 0600, owned by the process")
        for name, mode in modes.items()
        if mode & 0o077
    ] or good


def check_removed(names: Collection[str]) -> list[CheckResult]:
    """Check for variables of libpq, which other programs obey and Kvitto removes: they may ask for encryption."""
    ignored = sorted(name for name in names if name.startswith("PG") and name != "PGDATA")
    hint = "Write what they say into DATABASE_URL, such as ?sslmode=verify-full; or unset them"
    return [warning(", ".join(ignored), "are not read: only DATABASE_URL counts", hint)] if ignored else []


def check_durability_exceptions(names: Collection[str]) -> CheckResult:
    """Check ALLOW_NON_DURABLE."""
    if names:
        message = f"lists {' and '.join(sorted(names))}: a delivery that was answered 200 may be lost there"
        return warning("ALLOW_NON_DURABLE", message, "Unset it once the servers are durable")
    return ok("ALLOW_NON_DURABLE", "empty")


def check_retention(limits: Mapping[str, Mapping[str, int]], providers: Collection[str]) -> CheckResult:
    """Say what RETENTION (provider → kind → months) limits, and of which providers everything is kept."""
    listed = [f"{name}.{kind}={months}" for name in sorted(limits) for kind, months in limits[name].items()]
    if unlimited := sorted(set(providers) - limits.keys()):
        listed.append(f"nothing of {', '.join(unlimited)}, whose data is kept for good")
    return ok("RETENTION", f"limits {', '.join(listed)}")


def check_binds(binds: Mapping[str, Address]) -> list[CheckResult]:
    """Check the addresses that processes listen on, by setting."""
    results = []
    for (first, one), (second, other) in combinations(binds.items(), 2):
        if _collide(one, other):
            results.append(fault(second, f"is the address of {first} too", "Name another port"))
    for name, protection in (
        ("CONSOLE_BIND", "one password is its only protection"),
        ("METRICS_BIND", "nothing protects it"),
    ):
        if name in binds and binds[name][0] in _ALL_ADDRESSES:
            hint = f"Bind it to a private address; {protection}"
            results.append(warning(name, "is on every address of the machine", hint))
    if results or not binds:
        return results
    return [ok("addresses", ", ".join(f"{name} {host}:{port}" for name, (host, port) in binds.items()))]


def _collide(one: Address, other: Address) -> bool:
    """Return whether two processes cannot listen on both; port 0 is any free one."""
    hosts = {one[0], other[0]}
    return one[1] == other[1] != 0 and (len(hosts) == 1 or not hosts.isdisjoint(_ALL_ADDRESSES))


def _short(secrets: Secrets) -> Iterator[CheckResult]:
    for name, values in secrets.items():
        for position, value in enumerate(values, start=1):
            if len(value) < MIN_SECRET_LENGTH:
                message = f"value {position} of {len(values)} has {len(value)} characters: it can be guessed"
                hint = f"Use {MIN_SECRET_LENGTH} at least (openssl rand -hex 16), or ask its issuer for a longer one"
                yield warning(name, message, hint)


def _shared(secrets: Secrets) -> Iterator[CheckResult]:
    """Find values that two settings share: access to one would give access to the other."""
    for name, other in combinations(sorted(secrets), 2):
        if set(secrets[name]) & set(secrets[other]):
            hint = "Give each a value of its own"
            if "FINGERPRINT_KEY" in (name, other):  # its value stays: digests under another would match nothing stored
                rest = other if name == "FINGERPRINT_KEY" else name
                hint = f"Put a new value first in {rest}; FINGERPRINT_KEY is never changed"
            yield warning(name, f"shares a value with {other}", hint)
