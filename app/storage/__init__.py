"""Postgres: the ledger. The only code that knows it."""
