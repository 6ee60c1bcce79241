"""What several commands share of their options."""

from collections.abc import Collection

import click

from app.providers import registry

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def known_provider(_context: click.Context, _parameter: click.Parameter, name: str | None) -> str | None:
    """Return the name if the provider has a folder; the callback of an option or an argument."""
    if name is None or registry.is_known(name):
        return name
    raise click.BadParameter(f"{name!r} has no folder in app/providers; name one of {', '.join(registry.known())}")


def require_served(names: Collection[str], served: Collection[str]) -> None:
    """Reject names given to `--provider` that PROVIDERS does not list."""
    if unknown := set(names) - set(served):
        message = f"{', '.join(sorted(unknown))} not in PROVIDERS ({','.join(served)})"
        raise click.BadParameter(message, param_hint="--provider")
