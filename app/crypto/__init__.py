"""Ciphers, seals and digests; knows no provider."""
