"""`kvitto sandbox`: the commands."""

import click

from app.sandbox.send_load import send
from app.sandbox.serve import serve


@click.group(epilog="Example: kvitto sandbox send kompar --applications 100")
def sandbox() -> None:
    """Play the providers' side."""


sandbox.add_command(send)
sandbox.add_command(serve)
