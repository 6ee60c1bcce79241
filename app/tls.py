"""TLS contexts of Kvitto's clients, and the addresses that they reach without a proxy."""

import ssl

# For httpx: servers on this machine are reached directly, whatever proxy the environment names.
LOOPBACK_DIRECT = {f"all://{host}": None for host in ("localhost", "127.0.0.1", "[::1]")}


def trusting(authority: str) -> ssl.SSLContext:
    """Return a client's context that trusts the usual authorities, and those in the PEM file `authority` if given."""
    import httpx  # noqa: PLC0415 - the import takes 0.05 s, which `kvitto up` and `kvitto health` do not need

    context = httpx.create_ssl_context()
    if authority:
        context.load_verify_locations(authority)
    return context


def unverified() -> ssl.SSLContext:
    """Return a client's context that accepts any certificate: for health checks of our own servers, without secrets."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
