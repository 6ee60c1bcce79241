"""`kvitto sql`: rows of the ledger, without a Postgres client."""

import click

from app.cli.output import print_rows
from app.cli.shared_options import json_option
from app.storage import reports
from app.storage.connection import session
from config.settings import LedgerSettings


@click.command(epilog='Example: kvitto sql "SELECT * FROM reporting.freshness" --json')
@click.argument("query")
@json_option
def sql(query: str, as_json: bool) -> None:
    """Print the rows of one SQL statement, run read-only in the role of DATABASE_URL."""
    with session(LedgerSettings.load().database_url, "sql") as connection:
        try:
            columns, rows = reports.query(connection, query)
        except ValueError as error:
            raise click.ClickException(str(error)) from error
    print_rows(rows, columns, as_json, empty="no rows")
