"""The table of what each process imports."""

from app.preflight.installation import check
from app.process_settings import MODULES, PROVIDER_MODULES, READERS
from config.checks.result import CheckLevel

SERVED = ("kompar", "solaris")


def test_every_process_has_its_modules() -> None:
    assert MODULES.keys() == READERS.keys() | {"check"}
    assert PROVIDER_MODULES.keys() <= MODULES.keys()


def test_everything_can_be_imported_here() -> None:
    (finding,) = check(tuple(MODULES), SERVED)
    assert finding.level is CheckLevel.OK


def test_a_provider_without_a_folder_is_left_to_the_settings() -> None:
    (finding,) = check(["worker"], ("nobody",))
    assert finding.level is CheckLevel.OK
