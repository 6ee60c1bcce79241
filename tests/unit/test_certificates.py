"""Throw-away certificates: trusted by who trusts their authority, which is kept."""

import socket
import ssl
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.local.certificates import Authority, Certificate


def shake_hands(server: Certificate, trust: ssl.SSLContext, host: str) -> str:
    """Let a client meet a server over TLS; return the version they agree on."""
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


def test_a_client_that_trusts_the_authority_trusts_its_certificates(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server = authority.issue("server")
    assert shake_hands(server, authority.trust(), "localhost") == "TLSv1.3"
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        shake_hands(server, authority.trust(), "example.com")
    with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer"):
        shake_hands(server, ssl.create_default_context(), "localhost")


def test_the_authority_is_kept_for_a_later_start(tmp_path: Path) -> None:
    before = Authority(tmp_path).trust()
    assert shake_hands(Authority(tmp_path).issue("server"), before, "localhost")


def test_those_who_make_it_at_once_agree(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: Authority(tmp_path), range(8)))
    certificates = [each.issue(f"server-{number}") for number, each in enumerate(found)]
    assert all(shake_hands(each, found[0].trust(), "127.0.0.1") for each in certificates)


def test_nobody_else_may_read_the_keys(tmp_path: Path) -> None:
    Authority(tmp_path).issue("server")
    folder = tmp_path / "sandbox"
    assert {stat.S_IMODE(path.stat().st_mode) for path in [folder, *folder.iterdir()]} == {0o700, 0o600}
    assert sorted(path.name for path in folder.iterdir()) == [
        "authority.key", "authority.pem", "server.key", "server.pem",
    ]  # fmt: skip
