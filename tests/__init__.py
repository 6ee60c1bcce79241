"""Tests: real Postgres, a real Redis-compatible server, real processes."""
