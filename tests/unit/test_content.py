"""JSON as it is taken, and its canonical text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.content import canonical, flatten, parse_object
from app.errors import Rejected


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"hello",
        b"[1]",
        b'"text"',
        b"null",
        b'{"a": NaN}',
        b'{"a": 1e400}',
        b'{"a": "\xff"}',
        b"\xef\xbb\xbf{}",
        b'{"a":' + b"[" * 100_000,
        b'{"a": ' + b"9" * 5000 + b"}",
    ],
)
def test_what_is_no_json_object_is_rejected(text: bytes) -> None:
    with pytest.raises(Rejected) as caught:
        parse_object(text)
    assert caught.value.reason == "not-json"


@pytest.mark.parametrize(
    "text", [rb'{"a": "\u0000"}', rb'{"\u0000": 1}', rb'{"a": ["\ud800"]}', b'{"a":' + b"[" * 70 + b"]" * 70 + b"}"]
)
def test_what_the_database_cannot_hold_is_rejected(text: bytes) -> None:
    with pytest.raises(Rejected) as caught:
        parse_object(text)
    assert caught.value.reason == "invalid"


def test_a_number_is_the_same_however_it_is_written() -> None:
    assert canonical(parse_object(b'{"a": 4.0, "b": 1e3}')) == canonical(parse_object(b'{"b":1000,"a":4}'))


def test_true_is_not_one() -> None:
    assert canonical(True) != canonical(1)


texts = st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
names = st.text(alphabet="abcåäö", max_size=4)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(names, json_values, max_size=4))
def test_parsing_is_stable(document: dict[str, object]) -> None:
    once = parse_object(canonical(document))
    assert canonical(parse_object(canonical(once))) == canonical(once)


def test_messages_name_fields_only() -> None:
    assert flatten({"amount": ["Not a valid integer."], "guarantors": {0: {"ssn": ["Not a valid string."]}}}) == (
        "amount: Not a valid integer.; guarantors.0.ssn: Not a valid string."
    )
