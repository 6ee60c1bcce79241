"""`kvitto feed`: the changes of revisions as they come, for a look, a script, or a consumer."""

import time
from typing import NoReturn

import click

from app.cli.output import print_record
from app.cli.shared_options import json_option, known_provider
from app.errors import StoreUnavailableError
from app.providers import registry
from app.storage import feed as storage
from app.storage.connection import Connection, session
from config.settings import LedgerSettings

_SHOWN = ("provider", "position", "change", "event_type", "entity_id", "revision", "receipt", "changed_at")
_PAGE = 100
# Notifications come sooner, unless a pooler withholds them.
_POLL_SECONDS = 1.0


@click.command(epilog="Example: kvitto feed --provider kompar --from 4711 --follow --json")
@click.option("--provider", callback=known_provider, help="Of this provider.  [default: all]")
@click.option("--from", "after", type=click.IntRange(min=0), metavar="POSITION", help="Begin behind this position.")
@click.option("--consumer", metavar="NAME", help="Begin behind what this consumer confirmed; confirm what is printed.")
@click.option("--follow", is_flag=True, help="Go on with changes as they come, until Ctrl-C.")
@click.option("--forget", metavar="NAME", help="Delete the cursors of a consumer that is no longer used.")
@json_option
def feed(
    provider: str | None,
    after: int | None,
    consumer: str | None,
    follow: bool,
    forget: str | None,
    as_json: bool,
) -> None:
    """Print the changes of revisions, a line each, in order of position; positions are numbers of one provider.

    A consumer sees every change at least once: what is printed is confirmed afterwards. It needs the role
    kvitto_consumer.
    """
    if forget is not None:
        if follow or (provider, after, consumer) != (None, None, None):
            raise click.UsageError("--forget goes without other options")
        _forget(forget)
        return
    if consumer is not None and (provider is None or after is not None):
        raise click.UsageError("--consumer needs --provider, and goes without --from")
    if after is not None and provider is None:
        raise click.UsageError("--from needs --provider: positions are numbers of one provider")
    reader = _Reader(dict.fromkeys([provider] if provider else registry.known(), after or 0), consumer, as_json)
    dsn = LedgerSettings.load().database_url
    try:
        if follow:
            _follow(dsn, reader)
        with session(dsn, "feed") as connection:
            reader.print_all(connection)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        raise SystemExit(130) from None


class _Reader:
    """Prints feeds from the positions where it stopped, or from a consumer's cursor."""

    def __init__(self, positions: dict[str, int], consumer: str | None, as_json: bool) -> None:
        self._positions, self._consumer, self._as_json = positions, consumer, as_json

    def print_all(self, connection: Connection) -> None:
        """Print every change that is there."""
        for provider in self._positions:
            while self._print_page(connection, provider):
                pass

    def _print_page(self, connection: Connection, provider: str) -> bool:
        """Print the next changes of a provider, then confirm them; return whether there were any."""
        if self._consumer is None:
            rows = storage.read(connection, provider, self._positions[provider], _PAGE)
        else:
            rows = storage.read_unconfirmed(connection, self._consumer, provider, _PAGE)
        for row in rows:
            print_record(row, _SHOWN, self._as_json)
        if rows:
            self._positions[provider] = rows[-1]["position"]
            if self._consumer is not None:
                storage.confirm(connection, self._consumer, provider, rows[-1]["position"])
        return bool(rows)


def _follow(dsn: str, reader: _Reader) -> NoReturn:
    """Print changes as they come. If the server fails later, it is tried again: a fail-over ends nothing."""
    was_connected = is_reported = False
    while True:
        try:
            with session(dsn, "feed") as connection:
                storage.listen(connection)
                was_connected, is_reported = True, False
                while True:
                    reader.print_all(connection)
                    storage.wait(connection, _POLL_SECONDS)
        except StoreUnavailableError as error:
            if not was_connected:
                raise
            if not is_reported:
                click.echo(f"{error}; trying again", err=True)
            is_reported = True
            time.sleep(_POLL_SECONDS)


def _forget(consumer: str) -> None:
    with session(LedgerSettings.load().database_url, "feed") as connection:
        cursors = storage.forget(connection, consumer)
    if not cursors:
        raise click.ClickException(f"no consumer is named {consumer}; see: reporting.feed_consumers")
    click.echo(f"forgot {consumer}, which read {cursors} feed{'s' if cursors > 1 else ''}")
