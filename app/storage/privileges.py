"""The privileges that a process needs in Postgres: exactly those that the migrations grant to its role."""

import re
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from app.storage.connection import Connection, columns

_FOLDER = files("app.storage") / "migrations"
# A grant and its opposite, for what exists or (TABLES) for what a later statement makes; and a view of `reporting`.
_STATEMENT = re.compile(
    r"^(?:ALTER DEFAULT PRIVILEGES IN SCHEMA reporting )?(GRANT|REVOKE) ([^;]+?) ON (?:(SCHEMA|FUNCTION) )?([^;]+?)"
    r"\s+(?:TO|FROM) ([^;]+);"
    r"|^CREATE (?:OR REPLACE )?VIEW reporting\.(\w+)",
    re.MULTILINE,
)
_RIGHT = re.compile(r"([A-Z]+)(?: \(([^)]+)\))?")
_LIST = re.compile(r",\s*")


class Privilege(NamedTuple):
    """A right on a schema, a function, a table or view, or one of its columns. What it does not name is empty."""

    right: str
    kind: str
    schema: str
    name: str = ""
    column: str = ""

    def __str__(self) -> str:
        column = f" ({self.column})" if self.column else ""
        kind = f"{self.kind} " if self.kind != "TABLE" else ""
        return f"{self.right}{column} ON {kind}{'.'.join(filter(None, (self.schema, self.name)))}"


@cache
def needed(process: str) -> tuple[Privilege, ...]:
    """Return what the migrations grant to the role of `process`: ingest, worker or console."""
    role, found, reads_views = f"kvitto_{process}", {Privilege("USAGE", "SCHEMA", "public"): True}, False
    for file in sorted(_FOLDER.iterdir(), key=lambda each: each.name):
        for verb, rights, kind, objects, roles, view in _STATEMENT.findall(file.read_text()):
            if view and reads_views:
                found[Privilege("SELECT", "TABLE", "reporting", view)] = True
            elif role in _LIST.split(roles):
                reads_views |= objects == "TABLES"
                found |= dict.fromkeys(_privileges(rights, kind or "TABLE", objects), verb == "GRANT")
    return tuple(privilege for privilege, is_granted in found.items() if is_granted)


def _privileges(rights: str, kind: str, objects: str) -> list[Privilege]:
    """Return the privileges of one statement; a name without a schema is one of `kvitto`."""
    if objects == "TABLES":
        return []
    wanted = [(right, column) for right, listed in _RIGHT.findall(rights) for column in _LIST.split(listed)]
    if kind == "SCHEMA":
        return [Privilege(right, kind, name) for name in _LIST.split(objects) for right, _ in wanted]
    found = []
    for place in _LIST.split(objects):
        schema, _, name = place.rpartition(".")
        found += [Privilege(right, kind, schema or "kvitto", name, column) for right, column in wanted]
    return found


def missing(connection: Connection, process: str) -> list[Privilege]:
    """Return what this session's role lacks of what `process` needs. An object that does not exist needs nothing."""
    query = """
        SELECT needed.*
        FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[])
             AS needed ("right", kind, schema, name, "column")
        LEFT JOIN pg_namespace ON nspname = schema
        LEFT JOIN pg_class ON kind = 'TABLE' AND relnamespace = pg_namespace.oid AND relname = name
        LEFT JOIN pg_attribute ON attrelid = pg_class.oid AND attname = "column"
        LEFT JOIN pg_proc ON kind = 'FUNCTION' AND pronamespace = pg_namespace.oid AND proname = name
        WHERE NOT CASE WHEN kind = 'SCHEMA' THEN has_schema_privilege(pg_namespace.oid, "right")
                       WHEN kind = 'FUNCTION' THEN has_function_privilege(pg_proc.oid, "right")
                       WHEN "column" = '' THEN has_table_privilege(pg_class.oid, "right")
                       ELSE has_column_privilege(pg_class.oid, attnum, "right") END
    """
    lacking = {tuple(row) for row in connection.execute(query, columns(needed(process)))}
    return [privilege for privilege in needed(process) if privilege in lacking]
