"""Checks that all that a process imports is installed. Imports nothing itself that could be missing."""

from collections.abc import Collection
from importlib import import_module
from importlib.util import find_spec

from app.process_settings import MODULES, PROVIDER_MODULES
from app.providers import registry
from config.checks.result import CheckResult, fault, ok

_HINT = "Reinstall Kvitto with its dependencies (pip install --force-reinstall kvitto), or build its image again"


def check(processes: Collection[str], served: Collection[str]) -> list[CheckResult]:
    """Import what these processes import when they start for the providers that they serve.

    Return a fault for each module that cannot be imported, or one finding that all can be.
    """
    needed_by: dict[tuple[str, str], list[str]] = {}
    for process in processes:
        for problem in dict.fromkeys(filter(None, map(_problem, _modules(process, served)))):
            needed_by.setdefault(problem, []).append(process)
    if not needed_by:
        return [ok("modules", f"can be imported for {', '.join(processes)}")]
    return [
        fault(f"module {name}", f"{problem} (needed by {', '.join(names)})", _HINT)
        for (name, problem), names in needed_by.items()
    ]


def _modules(process: str, served: Collection[str]) -> list[str]:
    part = PROVIDER_MODULES.get(process)
    folders = [f"app.providers.{name}.{part}" for name in registry.known() if part and name in served]
    return [*MODULES[process], *filter(find_spec, folders)]


def _problem(module: str) -> tuple[str, str] | None:
    """Import a module; return the name of the module that fails and why, None if the import succeeds."""
    try:
        import_module(module)
    except ModuleNotFoundError as error:
        return error.name or module, "is not installed"
    except Exception as error:  # an extension module for another machine, a file cut short: the process would end, too
        return module, f"cannot be imported ({type(error).__name__}: {error})"
    return None
