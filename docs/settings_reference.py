"""Writes docs/configuration.md from the declared settings: `python -m docs.settings_reference > FILE`."""

from collections.abc import Iterable, Iterator

import click

from app.process_settings import READERS
from app.providers import registry
from config import declarations
from config.declarations import Setting
from config.environment import Environment
from config.settings import AuditSettings, ResealSettings

_INTRODUCTION = """\
# Configuration

Every setting is an environment variable. This page is generated: `python -m docs.settings_reference`.

- Where *file* says yes, `NAME` may also come from the file that `NAME_FILE` names. Set one of the two.
- What is missing or wrong is reported at the start, all faults of a process together, each with how to fix it.
  `kvitto check` reports the same before a start, and what is dangerous.
- A list holds its items separated by commas or one a line. Within an item, write `%2C` for a comma, and `%25` before
  the digits of a literal `%2C` or `%25`. Each item of tokens, secrets and passwords has at least 16 characters.
- A file is UTF-8; a byte order mark and white space around the value are dropped. Quotes around a secret and
  characters that are not shown are faults: they would be a part of it.
- Make a key of 32 bytes with `openssl rand -base64 32`.
- Commands drop every environment variable that is neither a setting nor the operating system's.
- `dead-letters list`, `show` and `discard`, `access-log` and `sql` read `DATABASE_URL` only. `dead-letters replay`,
  `explain`, `reveal`, `export` and `erase` read what a worker reads, `explain --request` also what ingest reads.
  `rejected` reads the tokens and secrets that ingest reads. `health` reads what its process reads, `health worker`
  what the audit reads.
"""
_HEADER = """\
| name | meaning | default | secret | file | read by |
| --- | --- | --- | --- | --- | --- |
"""


def reference() -> str:
    """Return the page, in Markdown."""
    sections = [("Kvitto", declarations.SETTINGS)]
    sections += [(name.capitalize(), registry.declared_settings(name)) for name in registry.known()]
    tables = [f"## {title}\n\n{_HEADER}{''.join(_rows(settings))}" for title, settings in sections]
    return "\n".join([_INTRODUCTION, *tables])


def _rows(settings: Iterable[Setting]) -> Iterator[str]:
    read = {name: Environment({}) for name in (*READERS, "audit", "reseal")}
    for process, reader in (*READERS.items(), ("audit", AuditSettings.read), ("reseal", ResealSettings.read)):
        reader(read[process])
    for setting in settings:
        readers = setting.read_by or [name for name, found in read.items() if setting.name in found.names_read]
        from_file = any(f"{setting.name}_FILE" in found.names_read for found in read.values())
        default = "required" if setting.default is None else f"`{setting.default}`" if setting.default else "none"
        cells = (
            f"`{setting.name}`",
            setting.meaning,
            default,
            "yes" if setting.secret else "",
            "yes" if from_file else "",
            ", ".join(readers),
        )
        yield f"| {' | '.join(cells)} |\n"


if __name__ == "__main__":
    click.echo(reference(), nl=False)
