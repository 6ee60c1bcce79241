"""What shows a person or an entity is found in every spelling, and nothing else is."""

import json
from typing import Any

import pytest
from hypothesis import given

from app.domain.masking import mask_persons
from app.domain.national_ids import person_numbers
from app.domain.traces import Traces
from tests.support.national_ids import Spelling, contents, spellings

PERSON = frozenset({"8112189876"})


@given(contents())
def test_person_is_among_those_that_the_mask_hides(drawn: tuple[Spelling, dict[str, Any]]) -> None:
    spelling, content = drawn
    masked, persons = mask_persons(content)
    assert (spelling.ten in persons) == (masked != content)


@given(contents())
def test_traces_find_a_person_in_every_spelling(drawn: tuple[Spelling, dict[str, Any]]) -> None:
    spelling, content = drawn
    traces = Traces(frozenset({spelling.ten}))
    assert traces.are_in([json.dumps(content).encode()])
    assert traces.are_in([json.dumps(content, ensure_ascii=False).encode()])


@given(spellings())
def test_person_numbers_reads_every_spelling(spelling: Spelling) -> None:
    assert spelling.ten in person_numbers(str(spelling.value))


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        ("19811218-9876", True),
        ("811218\u20139876", True),
        ('cut {"ssn": "811218 98 76", ', True),
        ("8112189877", False),
        ("811218987", False),
        ("81121898-76 kr", True),
    ],
)
def test_traces_find_a_number_in_a_text_that_is_no_json(text: str, is_found: bool) -> None:
    assert Traces(PERSON).are_in([text.encode()]) == is_found


@pytest.mark.parametrize(
    ("entity_id", "text", "is_found"),
    [
        ("app-4711", '{"application_id": "app-4711"}', True),
        ("app-4711", "of app-4711.", True),
        ("app-4711", "app-47112", False),
        ("app.4711", "appx4711", False),
        ("12", '{"amount": 12}', False),
        ("12", '{"application_id": "12"}', True),
        ("471147", '{"amount": 471147}', False),
    ],
)
def test_traces_find_an_id_as_a_whole(entity_id: str, text: str, is_found: bool) -> None:
    assert Traces(ids=frozenset({entity_id})).are_in([text.encode()]) == is_found


def test_traces_of_nothing_are_nowhere() -> None:
    assert not Traces().are_in([b"anything"])
    assert not Traces().in_bytes.search(b"anything")


def test_traces_find_ascii_in_files() -> None:
    assert Traces(PERSON).in_bytes.search(b"\x00\xff811218-9876\x00")
    assert Traces(ids=frozenset({"app-4711"})).in_bytes.search(b"\x01app-4711\x02")
