"""Whose certificates are trusted."""

import ssl

import httpx


def trusting(authority: str) -> ssl.SSLContext:
    """Return what a client trusts: the usual authorities, and the one in this file if one is named."""
    context = httpx.create_ssl_context()
    if authority:
        context.load_verify_locations(authority)
    return context
