"""The table of what each process imports."""

from app.installation import check
from app.processes import MODULES, PROVIDER_MODULES, READERS
from config.findings import Verdict

SERVED = ("kompar", "solaris")


def test_every_process_has_its_modules() -> None:
    assert MODULES.keys() == READERS.keys() | {"check"}
    assert PROVIDER_MODULES.keys() <= MODULES.keys()


def test_everything_can_be_imported_here() -> None:
    (finding,) = check(tuple(MODULES), SERVED)
    assert finding.verdict is Verdict.OK


def test_a_provider_without_a_folder_is_left_to_the_settings() -> None:
    (finding,) = check(["worker"], ("nobody",))
    assert finding.verdict is Verdict.OK
