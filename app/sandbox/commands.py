"""`kvitto sandbox`: the providers' side."""

import click

from app.sandbox.sending import send


@click.group(epilog="Example: kvitto sandbox send kompar --applications 100")
def sandbox() -> None:
    """Play the providers' side."""


sandbox.add_command(send)
