"""Kompar, a loan broker: AES-encrypted applications and decisions, a token in a header."""
