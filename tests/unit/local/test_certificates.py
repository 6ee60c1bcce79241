"""Throw-away certificates are trusted by clients that trust their authority, which is kept."""

import socket
import ssl
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.local.certificates import Authority, Certificate


def shake_hands(server: Certificate, trust: ssl.SSLContext, host: str) -> str:
    """Connect a client to a server over TLS; return the version they negotiate."""
    ours, theirs = socket.socketpair()
    with ThreadPoolExecutor(1) as threads, ours, theirs:
        serving = threads.submit(server.context().wrap_socket, theirs, server_side=True)
        try:
            with trust.wrap_socket(ours, server_hostname=host) as secure:
                serving.result().close()
                return secure.version() or ""
        except ssl.SSLError:
            assert isinstance(serving.exception(), (ssl.SSLError, OSError))
            raise


def test_client_that_trusts_the_authority_trusts_its_certificates(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server = authority.issue("server")
    assert shake_hands(server, authority.trust(), "localhost") == "TLSv1.3"
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        shake_hands(server, authority.trust(), "example.com")
    with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer"):
        shake_hands(server, ssl.create_default_context(), "localhost")


def test_authority_is_the_same_after_a_restart(tmp_path: Path) -> None:
    before = Authority(tmp_path).trust()
    assert shake_hands(Authority(tmp_path).issue("server"), before, "localhost")


def test_authority_created_concurrently_is_one(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        authorities = list(threads.map(lambda _: Authority(tmp_path), range(8)))
    certificates = [authority.issue(f"server-{number}") for number, authority in enumerate(authorities)]
    assert all(shake_hands(certificate, authorities[0].trust(), "127.0.0.1") for certificate in certificates)


def test_keys_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    Authority(tmp_path).issue("server")
    folder = tmp_path / "sandbox"
    assert {stat.S_IMODE(path.stat().st_mode) for path in [folder, *folder.iterdir()]} == {0o700, 0o600}
    assert sorted(path.name for path in folder.iterdir()) == [
        "authority.key", "authority.pem", "server.key", "server.pem",
    ]  # fmt: skip
