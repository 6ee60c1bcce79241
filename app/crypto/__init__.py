"""Ciphers, seals and digests, independent of any provider."""
