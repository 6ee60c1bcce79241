"""Ciphers, seals and digests. Knows no provider."""
