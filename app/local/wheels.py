"""What the extra `embedded` installs, for development, demo and tests only."""


class EmbeddedServerError(Exception):
    """A part of the extra is not installed, or does not start; the text says what to do."""
