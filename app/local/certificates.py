"""Throw-away certificates for HTTPS on one machine, signed by an authority in the data folder."""

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from app.local import atomic_file
from app.local.machine import LocalError

LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Certificate:
    """A server's certificate chain and key, as files; the key is readable by its owner only."""

    chain: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        """Return the TLS context of a server."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.chain, self.key)
        return context


class Authority:
    """Signs certificates. It is created once and kept in `sandbox/` of a data folder, for all commands.

    `path` is its own certificate, authority.pem: a client that trusts this file trusts what the authority signed.

    Raises:
        LocalError: The package that makes certificates is not installed, or the existing file is no authority.
    """

    def __init__(self, data: Path) -> None:
        try:
            from trustme import CA  # noqa: PLC0415 - production needs no authority, and does not install it
        except ModuleNotFoundError as error:
            raise LocalError("trustme is not installed: pip install 'kvitto[embedded]'") from error
        self._folder = data / "sandbox"
        self.path = self._folder / "authority.pem"
        created = CA(organization_name="Kvitto on this machine")
        kept = self._folder / "authority.key"
        pem = atomic_file.keep(kept, created.private_key_pem.bytes() + created.cert_pem.bytes())
        try:
            self._authority = CA.from_pem(cert_bytes=pem, private_key_bytes=pem)
        except (ValueError, TypeError) as error:
            hint = "remove it and restart what serves HTTPS from this data folder: a new one is made"
            raise LocalError(f"{kept} is damaged: {hint}") from error
        atomic_file.write(self.path, self._authority.cert_pem.bytes())

    def issue(self, name: str, hosts: Sequence[str] = LOOPBACK) -> Certificate:
        """Write a new certificate for these host names and addresses, as NAME.pem and NAME.key."""
        issued = self._authority.issue_cert(*dict.fromkeys(hosts))
        certificate = Certificate(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        atomic_file.write(certificate.key, issued.private_key_pem.bytes())
        atomic_file.write(certificate.chain, b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        return certificate

    def trust(self) -> ssl.SSLContext:
        """Return the TLS context of a client that trusts this authority and the system's."""
        context = ssl.create_default_context()
        context.load_verify_locations(self.path)
        return context
