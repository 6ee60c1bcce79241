"""Tests of sign-in by OpenID Connect."""
