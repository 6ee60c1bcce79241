"""How Kvitto's clients reach servers: TLS contexts, and servers on this machine without a proxy."""

import os
import socket
import ssl
from contextlib import closing
from datetime import datetime
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from urllib.parse import urlsplit

from config.checks.result import fault
from config.environment import ConfigurationError

# For httpx: servers on this machine are reached directly, whatever proxy the environment names.
LOOPBACK_DIRECT = {f"all://{host}": None for host in ("localhost", "127.0.0.1", "[::1]")}

# A page of the console waits for it.
_LOOK_SECONDS = 2.0


def trusting(authority: str) -> ssl.SSLContext:
    """Return a client's context that trusts the usual authorities, and those in the PEM file `authority` if given.

    Raises:
        ConfigurationError: The file of either cannot be read.
    """
    import httpx  # noqa: PLC0415 - the import takes 0.05 s, which `kvitto up` and `kvitto health` do not need

    name = "SSL_CERT_FILE" if os.environ.get("SSL_CERT_FILE") else "certifi's certificates"
    try:
        context = httpx.create_ssl_context()
        if authority:
            name = "CA_FILE"
            context.load_verify_locations(authority)
    except OSError as error:
        hint = "Name a readable file with certificates of authorities in PEM"
        raise ConfigurationError([fault(name, f"cannot be used ({type(error).__name__})", hint)]) from error
    return context


def is_untrusted_certificate(error: BaseException | None) -> bool:
    """Return whether a client's error comes from the certificate of the server."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


def expires_at(path: str) -> datetime:
    """Return when the first certificate of a PEM file expires."""
    from cryptography import x509  # noqa: PLC0415 - only a server that has a certificate needs the module

    return x509.load_pem_x509_certificates(Path(path).read_bytes())[0].not_valid_after_utc


def served_expiry(host: str, port: int) -> datetime:
    """Return when the certificate expires that a server shows, trusted or not; raises OSError within 2 s."""
    from cryptography import x509  # noqa: PLC0415 - as above

    with (
        socket.create_connection((host, port), timeout=_LOOK_SECONDS) as connection,
        _trusting_anyone().wrap_socket(connection, server_hostname=host) as secured,
    ):
        shown = secured.getpeercert(binary_form=True)
    if shown is None:
        raise ssl.SSLError("the server shows no certificate")
    return x509.load_der_x509_certificate(shown).not_valid_after_utc


def _trusting_anyone() -> ssl.SSLContext:
    """Return the context of a client that sends nothing secret."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def own_address(bind: tuple[str, int]) -> str:
    """Return the host:port by which this machine reaches what it serves at (host, port)."""
    every_interface = {"0.0.0.0": "127.0.0.1", "*": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound
    host = every_interface.get(bind[0], bind[0])
    return f"[{host}]:{bind[1]}" if ":" in host else f"{host}:{bind[1]}"


def own_server_status(url: str) -> int:
    """Return the status that a server of ours on this machine answers to GET; raises the errors of its answer."""
    return own_server_answer(url)[0]


def own_server_answer(url: str) -> tuple[int, bytes]:
    """Return status and body that a server of ours on this machine answers to GET.

    Whatever its certificate: nothing secret is sent.

    Raises:
        OSError, HTTPException: It does not answer within 3 s.
    """
    address = urlsplit(url)
    connection = HTTPConnection(address.netloc, timeout=3)
    if address.scheme == "https":
        connection = HTTPSConnection(address.netloc, timeout=3, context=_trusting_anyone())
    with closing(connection):
        connection.request("GET", address.path)
        response = connection.getresponse()
        return response.status, response.read()
