"""Contract tests: what holds for every provider's folder."""

import base64
from collections.abc import Callable
from dataclasses import replace

import pytest

from app.domain.event import Event, all_flags
from app.domain.masking import mask
from app.errors import AuthenticationError, InvalidDeliveryError, KvittoError
from app.providers import registry
from app.providers.base import kept_headers
from config.environment import Environment
from tests.support.providers.provider_fixtures import Sample, Side, names, side

FINGERPRINT_KEY = {"FINGERPRINT_KEY": base64.b64encode(b"f" * 32).decode()}


class Request:
    """A request as the edge passes it on."""

    def __init__(self, sample: Sample) -> None:
        segments = sample.path.strip("/").split("/")
        self.topic = segments[2] if len(segments) > 2 else None
        self.body = sample.body
        self.headers = {name.lower(): value for name, value in sample.headers.items()}

    def header(self, name: str) -> str:
        return self.headers.get(name.lower(), "")


class Folder:
    """A provider's folder, as the edge and the workers use it, and its side."""

    def __init__(self, name: str) -> None:
        self.side: Side = side(name)
        environment = Environment(self.side.environment | FINGERPRINT_KEY)
        authentication, opener = registry.load_authentication(name, environment), registry.load(name, environment)
        environment.check()
        assert authentication is not None
        assert opener is not None
        self.authentication, self.opener = authentication, opener

    def take(self, sample: Sample) -> Event | None:
        """Authenticate, open and validate; None for a handshake."""
        request = Request(sample)
        assert request.topic in self.authentication.topics
        authentic = self.authentication.authenticate(request)
        if authentic is None:
            return None
        kept = kept_headers(self.authentication, request)
        return self.opener.validate(self.opener.open(authentic.topic, kept, sample.body))

    def outcome(self, sample: Sample) -> str:
        """Return what becomes of a request, without the history of its entity."""
        try:
            return "handshake" if self.take(sample) is None else "valid"
        except AuthenticationError:
            return "refused"
        except InvalidDeliveryError:
            return "dead"


@pytest.fixture(scope="module", params=names())
def folder(request: pytest.FixtureRequest) -> Folder:
    return Folder(request.param)


def test_samples_have_the_expected_outcome(folder: Folder) -> None:
    valid = {"stored": "valid", "duplicate": "valid"}
    for sample in folder.side.samples():
        expected = sample.expect.get("outcome", "refused")
        if expected != "any-but-lost" and sample.body:  # the edge asks for a body before it asks the provider's folder
            assert folder.outcome(sample) == valid.get(expected, expected), sample.name


def test_samples_keep_their_content_and_their_flags(folder: Folder) -> None:
    for sample in folder.side.samples():
        if sample.expect.get("outcome") == "stored":
            event = folder.take(sample)
            assert event is not None
            assert event.content == mask(sample.expect["content"]), sample.name
            assert bool(all_flags(event.field_flags)) == sample.expect.get(
                "flags", bool(all_flags(event.field_flags))
            ), sample.name


def test_one_flipped_byte_is_refused_where_content_is_signed(folder: Folder) -> None:
    if not folder.side.signs_content:
        assert folder.outcome(folder.side.forged()[0]) == "refused"  # what authenticates instead
        return
    signed = [sample for sample in folder.side.samples() if sample.body and folder.outcome(sample) == "valid"]
    assert signed
    for sample in signed:
        for index in {0, len(sample.body) // 2, len(sample.body) - 1}:
            flipped = bytearray(sample.body)
            flipped[index] ^= 1
            assert folder.outcome(replace(sample, body=bytes(flipped))) == "refused"


def test_forged_requests_are_rejected_or_dead(folder: Folder) -> None:
    for sample in folder.side.forged():
        assert folder.outcome(sample) in ("refused", "dead"), sample.name
    without_headers = replace(folder.side.tries()[0], headers={})
    assert folder.outcome(without_headers) == "refused"


def test_a_retry_keeps_its_identity(folder: Folder) -> None:
    first, second = (folder.take(sample) for sample in folder.side.tries())
    assert first is not None
    assert second is not None
    assert (first.entity, first.provider_event_id, first.digests) == (
        second.entity,
        second.provider_event_id,
        second.digests,
    )


def test_unknown_keys_and_types_are_kept(folder: Folder) -> None:
    event = folder.take(folder.side.unknown())
    assert event is not None
    assert event.digests.keys() == event.content.keys()


def test_projection_row_accepts_masked_content(folder: Folder) -> None:
    for sample in folder.side.samples():
        if sample.expect.get("outcome") == "stored":
            event = folder.take(sample)
            assert event is not None
            if event.projection is not None:
                event.projection.row(event.content)


def test_errors_hold_no_secret(folder: Folder) -> None:
    broken = [*folder.side.forged(), *folder.side.samples()]
    texts = [text for sample in broken if (text := _error(lambda it=sample: folder.take(it)))]  # type: ignore[misc]
    assert texts
    for secret in folder.side.secrets:
        assert not [text for text in texts if secret in text]


def _error(action: Callable[[], object]) -> str:
    try:
        action()
    except KvittoError as error:
        return f"{error} {error.reason} {error.detail}"
    return ""


def test_unset_secrets_are_reported_by_name(folder: Folder) -> None:
    environment = Environment(FINGERPRINT_KEY)
    for name in names():
        registry.load_authentication(name, environment)
        registry.load(name, environment)
    assert {fault.name for fault in environment.faults} >= set(folder.side.environment)
