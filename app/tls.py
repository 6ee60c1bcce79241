"""Whose certificates are trusted."""

import ssl

# For httpx: what it asks on this machine is asked directly, whatever proxy the environment names.
LOOPBACK_DIRECT = {f"all://{host}": None for host in ("localhost", "127.0.0.1", "[::1]")}


def trusting(authority: str) -> ssl.SSLContext:
    """Return what a client trusts: the usual authorities, and the one in this file if one is named."""
    import httpx  # noqa: PLC0415 - it costs 0.05 s, which `kvitto up` and `kvitto health` need not pay

    context = httpx.create_ssl_context()
    if authority:
        context.load_verify_locations(authority)
    return context


def unverified() -> ssl.SSLContext:
    """Return what asks a server of our own by whatever name: its certificate may be for another, nothing is told it."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
