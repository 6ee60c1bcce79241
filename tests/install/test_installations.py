"""Kvitto as the Dockerfile and as pip install it: from the project's folder, with what the index has."""

import signal
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from tests.e2e.deploy import installations
from tests.e2e.deploy.installations import Installation, deliver, empty
from tests.e2e.deploy.test_image import pins
from tests.support.kvitto_process import ROOT, SECRETS, running


@pytest.fixture(scope="module")
def plain() -> Iterator[Installation]:
    """A fresh environment after `pip install .`."""
    with installations.open_folder("plain") as folder:
        yield installations.install(folder / "kvitto", str(ROOT))


@pytest.fixture
def embedded(plain: Installation) -> Installation:
    """The same environment after `pip install ".[embedded]"`, which adds servers and certificates."""
    return installations.install(plain.folder, f"{ROOT}[embedded]")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter."""
    with installations.open_folder("run") as found:
        yield found


def play(installation: Installation, folder: Path) -> None:
    """Start every process, use all of them, stop."""
    with installations.running(installation, folder) as found:
        installations.use(found)
        installations.stop(found)


def test_every_process_of_the_image_works_and_nothing_is_for_development(open_folder: Path) -> None:
    image = installations.build_image(open_folder)
    (site,) = (image.folder / "lib").glob("python*/site-packages")
    found = {each.name.lower().replace("_", "-") for each in metadata.distributions(path=[str(site)])}
    assert found <= {"kvitto", *pins("requirements.runtime.lock")}
    assert not (image.programs / "pip").exists()
    play(image, open_folder)


def test_every_process_of_a_plain_installation_works(plain: Installation, open_folder: Path) -> None:
    play(plain, open_folder)


def test_up_of_an_embedded_installation_works(embedded: Installation, tmp_path: Path) -> None:
    """With HTTPS, so that every package of the extra is used."""
    program = [f"{embedded.programs}/kvitto"]
    environment = {**SECRETS, **embedded.environment}
    nowhere = empty(tmp_path / "empty")
    with running(tmp_path / "data", environment, "--https", project=nowhere, program=program) as kvitto:
        receipt = deliver(kvitto.ingest, "installed", kvitto.client)
        assert kvitto.outcome(receipt, 180)["outcome"] == "stored"
        assert kvitto.stop(signal.SIGTERM) == 0
    logs = {path.name: path.read_text() for path in (tmp_path / "data" / "logs").iterdir()}
    assert {name for name, log in logs.items() if "ModuleNotFoundError" in log or "Traceback" in log} == set()
