"""`kvitto explain`: how Kvitto processes one delivery, step by step."""

from typing import BinaryIO
from uuid import UUID

import click

from app.cli.output import print_fields, print_rows
from app.cli.shared_options import json_option
from app.processing.explain import Explainer
from app.processing.saved_request import SavedRequest
from app.storage.connection import session
from config.environment import Environment
from config.settings import LedgerSettings


@click.command(epilog="Example: kvitto explain --request saved.http")
@click.argument("receipt", type=click.UUID, required=False)
@click.option(
    "--request", "file", type=click.File("rb"), help="A request saved as text: line, headers, empty line, body."
)
@json_option
def explain(receipt: UUID | None, file: BinaryIO | None, as_json: bool) -> None:
    """Explain a receipt of the ledger, or a saved request as if it arrived now. Changes nothing."""
    if (receipt is None) == (file is None):
        raise click.UsageError("name a receipt, or a file with --request")
    with session(LedgerSettings.load().database_url, "explain") as connection:
        explainer = Explainer(Environment.of_process(), connection)
        try:
            if receipt is not None:
                steps = list(explainer.receipt(receipt))
            elif file is not None:
                steps = list(explainer.request(SavedRequest.parse(file.read())))
        except (LookupError, ValueError) as error:
            raise click.ClickException(str(error)) from error
    if as_json:
        print_rows([{"step": step, "finding": finding} for step, finding in steps], (), as_json, empty="")
    else:
        print_fields(dict(steps))
