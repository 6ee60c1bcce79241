"""Solaris, a bank: plain JSON events, each signed under the secret of its event type."""
