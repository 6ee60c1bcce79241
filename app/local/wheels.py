"""What comes in wheels for development, demo and tests alone: the extra `embedded`."""


class EmbeddedMissing(Exception):  # noqa: N818
    """Something of it is not installed, or does not start; the text says what to do."""
