"""What is dangerous about settings that are valid; asks nothing."""

from collections.abc import Collection, Iterator, Mapping

from config.checks.result import CheckResult, fault, ok, warning

# Secrets by the setting's name: every value that it lists.
Secrets = Mapping[str, tuple[str, ...]]
# (host, port)
Address = tuple[str, int]

_SHORTEST = 16
_EVERYWHERE = ("", "0.0.0.0", "::", "*")  # noqa: S104 - compared, not bound


def judge_secrets(secrets: Secrets) -> list[CheckResult]:
    """Judge secrets by their length and by whether each stands in one place only."""
    doubts = [*_short(secrets), *_shared(secrets)]
    if doubts or not secrets:
        return doubts
    return [ok("secrets", f"{len(secrets)} settings, none short or shared")]


def judge_files(modes: Mapping[str, int]) -> list[CheckResult]:
    """Judge who may read the files that hold secrets, by the setting that names them."""
    doubts = [
        warning(name, f"names a file that others may read (mode {mode:04o})", "Make it 0600, owned by the process")
        for name, mode in modes.items()
        if mode & 0o077
    ]
    if doubts or not modes:
        return doubts
    return [ok("secret files", f"{len(modes)}, none open to others")]


def judge_loss(servers: Collection[str]) -> CheckResult:
    """Judge ALLOW_NON_DURABLE."""
    if servers:
        message = f"lists {' and '.join(sorted(servers))}: a delivery that was answered 200 may be lost there"
        return warning("ALLOW_NON_DURABLE", message, "Unset it once the servers are durable")
    return ok("ALLOW_NON_DURABLE", "empty")


def judge_binds(binds: Mapping[str, Address]) -> list[CheckResult]:
    """Judge where ingest and console listen, by setting."""
    findings = []
    if len(binds) > 1 and _collide(*binds.values()):
        findings.append(fault("CONSOLE_BIND", "is the address of INGEST_BIND too", "Give the console another port"))
    if (console := binds.get("CONSOLE_BIND")) and console[0] in _EVERYWHERE:
        mend = "Bind it to a private address; one password is all that guards it"
        findings.append(warning("CONSOLE_BIND", "is on every address of the machine", mend))
    if findings or not binds:
        return findings
    return [ok("addresses", ", ".join(f"{name} {host}:{port}" for name, (host, port) in binds.items()))]


def _collide(one: Address, other: Address) -> bool:
    """Tell whether two processes cannot listen on both; port 0 is any that is free."""
    hosts = {one[0], other[0]}
    return one[1] == other[1] != 0 and (len(hosts) == 1 or not hosts.isdisjoint(_EVERYWHERE))


def _short(secrets: Secrets) -> Iterator[CheckResult]:
    for name, values in secrets.items():
        for position, value in enumerate(values, start=1):
            if len(value) < _SHORTEST:
                found = f"value {position} of {len(values)} has {len(value)} characters: it can be guessed"
                mend = f"Use {_SHORTEST} at least (openssl rand -hex 16), or ask its issuer for a longer one"
                yield warning(name, found, mend)


def _shared(secrets: Secrets) -> Iterator[CheckResult]:
    """Find values of one setting that another holds too: who is given the one then has the other."""
    names = sorted(secrets)
    for index, name in enumerate(names):
        for other in names[index + 1 :]:
            if set(secrets[name]) & set(secrets[other]):
                yield warning(name, f"shares a value with {other}", _unshared(name, other))


def _unshared(name: str, other: str) -> str:
    if "FINGERPRINT_KEY" in (name, other):  # which stays: fingerprints under another would match nothing that is kept
        rest = other if name == "FINGERPRINT_KEY" else name
        return f"Put a new value first in {rest}; FINGERPRINT_KEY is never changed"
    return "Give each a value of its own"
