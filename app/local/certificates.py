"""Throw-away certificates for HTTPS on one machine, from an authority of the data folder's own."""

import importlib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from app.local import atomic_file
from app.local.wheels import EmbeddedServerError

if TYPE_CHECKING:
    import trustme

LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Certificate:
    """A server's files: its certificate, and the key, readable by its owner only."""

    chain: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        """Return what a server answers HTTPS with."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.chain, self.key)
        return context


class AuthorityFileError(Exception):
    """The file that keeps it holds something else; the text says what to do."""


class Authority:
    """Signs certificates; made at the first call and kept in `sandbox/` below a data folder, where all find it.

    `path` is its own certificate, authority.pem: a client that trusts this file trusts what the authority signed.

    Raises:
        EmbeddedServerError: The package that makes certificates is not installed.
        AuthorityFileError: The file that was kept is no authority.
    """

    def __init__(self, data: Path) -> None:
        self._folder = data / "sandbox"
        self.path = self._folder / "authority.pem"
        self._authority = self._kept()
        atomic_file.write(self.path, self._authority.cert_pem.bytes())

    def issue(self, name: str, hosts: Sequence[str] = LOOPBACK) -> Certificate:
        """Write a fresh certificate for these host names and addresses, as NAME.pem and NAME.key."""
        made = self._authority.issue_cert(*dict.fromkeys(hosts))
        certificate = Certificate(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        atomic_file.write(certificate.key, made.private_key_pem.bytes())
        atomic_file.write(certificate.chain, b"".join(blob.bytes() for blob in made.cert_chain_pems))
        return certificate

    def trust(self) -> ssl.SSLContext:
        """Return what a client trusts: this authority and the system's."""
        context = ssl.create_default_context()
        context.load_verify_locations(self.path)
        return context

    def _kept(self) -> "trustme.CA":
        ca = _ca()
        made = ca(organization_name="Kvitto on this machine")
        path = self._folder / "authority.key"
        pem = atomic_file.keep(path, made.private_key_pem.bytes() + made.cert_pem.bytes())
        try:
            return ca.from_pem(cert_bytes=pem, private_key_bytes=pem)
        except (ValueError, TypeError) as error:
            mend = "remove it, then start again what serves HTTPS from this data folder: a new one is made"
            raise AuthorityFileError(f"{path} is damaged: {mend}") from error


def _ca() -> "type[trustme.CA]":
    """Return what makes authorities; production, which needs none, need not have it."""
    try:
        return importlib.import_module("trustme").CA  # type: ignore[no-any-return]
    except ModuleNotFoundError as error:
        raise EmbeddedServerError("trustme is not installed: pip install 'kvitto[embedded]'") from error
