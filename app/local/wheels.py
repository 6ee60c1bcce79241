"""What comes in wheels for development, demo and tests alone: the extra `embedded`."""


class EmbeddedServerError(Exception):
    """Something of it is not installed, or does not start; the text says what to do."""
