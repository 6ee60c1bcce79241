"""Whose certificates are trusted."""

import ssl

import httpx


def trusting(authority: str) -> ssl.SSLContext:
    """Return what a client trusts: the usual authorities, and the one in this file if one is named."""
    context = httpx.create_ssl_context()
    if authority:
        context.load_verify_locations(authority)
    return context


def unverified() -> ssl.SSLContext:
    """Return what asks a server of our own by whatever name: its certificate may be for another, nothing is told it."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
