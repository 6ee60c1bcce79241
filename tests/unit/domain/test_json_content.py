"""Accepted JSON and its canonical text."""

import json
from typing import Any
from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.json_content import canonical, flatten, parse_object
from app.errors import InvalidDeliveryError


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
        b'{"a":' + b"[" * 100_000,
        b'{"a": ' + b"9" * 5000 + b"}",
    ],
)
def test_parse_object_rejects_other_texts_as_not_json(text: bytes) -> None:
    with pytest.raises(InvalidDeliveryError) as caught:
        parse_object(text)
    assert caught.value.reason == "not-json"


@pytest.mark.parametrize(
    "text", [rb'{"a": "\u0000"}', rb'{"\u0000": 1}', rb'{"a": ["\ud800"]}', b'{"a":' + b"[" * 70 + b"]" * 70 + b"}"]
)
def test_parse_object_rejects_unstorable_content_as_invalid(text: bytes) -> None:
    with pytest.raises(InvalidDeliveryError) as caught:
        parse_object(text)
    assert caught.value.reason == "invalid"


def test_canonical_is_the_same_for_every_notation_of_a_number() -> None:
    assert canonical(parse_object(b'{"a": 4.0, "b": 1e3}').content) == canonical(
        parse_object(b'{"b":1000,"a":4}').content
    )


def test_canonical_of_true_differs_from_one() -> None:
    assert canonical(True) != canonical(1)


texts = st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
names = st.text(alphabet="abcåäö", max_size=4)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(names, json_values, max_size=4))
def test_parse_object_of_canonical_text_is_stable(document: dict[str, object]) -> None:
    once = parse_object(canonical(document)).content
    assert canonical(parse_object(canonical(once)).content) == canonical(once)


def test_flatten_names_fields_only() -> None:
    assert flatten({"amount": ["Not a valid integer."], "guarantors": {0: {"ssn": ["Not a valid string."]}}}) == [
        "amount: Not a valid integer.", "guarantors.0.ssn: Not a valid string.",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        (b'{"name": "Bj\xf6rn"}', "not UTF-8: it may be Latin-1 or Windows-1252"),
        ("{}".encode("utf-16"), "not UTF-8: it looks like UTF-16"),
        (b'{"a": NaN}', "not a JSON text: it holds NaN"),
        (b'{"a": -Infinity}', "not a JSON text: it holds -Infinity"),
        (b'{"a": 1e400}', "not a JSON text: a number is out of range"),
        (b'{"a": "811218-9876", }', "not a JSON text: "),
        (b"[1]", "not a JSON object"),
    ],
)
def test_parse_object_says_what_is_wrong_without_any_value(text: bytes, detail: str) -> None:
    with pytest.raises(InvalidDeliveryError) as caught:
        parse_object(text)
    assert caught.value.detail.startswith(detail)
    assert "811218" not in caught.value.detail


def test_parse_object_skips_a_byte_order_mark() -> None:
    assert parse_object(b'\xef\xbb\xbf{"a": 1}').content == {"a": 1}


@pytest.mark.parametrize(
    ("text", "content", "duplicates"),
    [
        (b'{"a": 1, "a": 2}', {"a": 2}, {"a"}),
        (b'{"a": {"b": 1, "b": 2}, "c": 1}', {"a": {"b": 2}, "c": 1}, {"a"}),
        (b'{"a": [1, {"b": {"c": 1, "c": 1}}], "b": {}}', {"a": [1, {"b": {"c": 1}}], "b": {}}, {"a"}),
        (b'{"a": 1, "b": {"a": 2}}', {"a": 1, "b": {"a": 2}}, set()),
    ],
)
def test_parse_object_names_the_keys_with_duplicates_and_the_last_value_wins(
    text: bytes, content: object, duplicates: set[str]
) -> None:
    assert tuple(parse_object(text)) == (content, duplicates)


def slow_parse(text: bytes) -> Any:
    """`parse_object` without its shortcuts: it checks every value."""
    try:
        value = json.loads(text.decode("utf-8-sig"), parse_float=slow_number, parse_constant=no_number)
    except (ValueError, RecursionError):
        return "not-json"
    if not isinstance(value, dict):
        return "not-json"
    return slow_check(value, 1) or repr(value)


def slow_number(text: str) -> float:
    value = float(text)
    if value in {float("inf"), float("-inf")}:
        raise ValueError
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


def no_number(text: str) -> float:
    raise ValueError(text)


def slow_check(value: Any, depth: int) -> str | None:
    """Return what is wrong with a value; the generated ones have one fault at most."""
    if depth > 64:
        return "invalid: nested deeper than 64 levels"
    if isinstance(value, str) and ("\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value)):
        return "invalid: a text holds U+0000 or a lone surrogate"
    parts = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []
    return next(filter(None, (slow_check(part, depth + 1) for part in parts)), None)


def outcome(text: bytes) -> Any:
    try:
        return repr(parse_object(text).content)
    except InvalidDeliveryError as error:
        return error.reason if error.reason == "not-json" else str(error)


awkward = st.text(st.sampled_from('aå\0\\"/u0d8\ud800\udc00\U0001f600[{\u2028'), max_size=6)
awkward_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | awkward,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(awkward, inner, max_size=3),
    max_leaves=6,
)
signs = st.sampled_from(["{", "}", "[", "]", '"', ":", ",", '{"a":', "a", "å", "null", " ", "\n", "\0", "\ufeff"])
escapes = st.sampled_from(["\\u0000", "\\ud800", "\\udc00", "\\uD83D\\uDE00", "\\\\", "\\", "u0000"])
numbers = st.sampled_from(
    ["1", "1.0", "-0.0", "1e16", "1e400", "9007199254740992.0", "9007199254740993e0", "-", "NaN", "Infinity"]
)


@given(st.dictionaries(awkward, awkward_values, max_size=3), st.booleans())
def test_a_document_is_parsed_as_by_the_slow_way(document: dict[str, Any], ascii_only: bool) -> None:
    text = json.dumps(document, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    assert outcome(text) == outcome(text + b" " * 10_000) == slow_parse(text)


@given(st.lists(signs | escapes | numbers, max_size=8).map("".join))
def test_so_is_what_hardly_is_a_document(text: str) -> None:
    for whole in (text, f'{{"a": {text}}}', f'{{"a": "{text}"}}'):
        assert outcome(whole.encode()) == slow_parse(whole.encode())


@pytest.mark.parametrize("depth", range(60, 68))
@pytest.mark.parametrize("innermost", [b"", b"1", b'"["', b"{}", b'{"a": 1}'])
def test_nesting_ends_where_it_did(depth: int, innermost: bytes) -> None:
    for before, after in ((b"[", b"]"), (b'{"a":', b"}")):
        text = b'{"a":' + before * depth + (innermost if before == b"[" else innermost or b"1") + after * depth + b"}"
        assert outcome(text) == slow_parse(text)


@given(awkward_values)
def test_the_canonical_text_is_that_of_the_slow_way(value: Any) -> None:
    def slow() -> bytes:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return normalize("NFC", text).encode()

    try:
        expected = slow()
    except ValueError as error:
        with pytest.raises(type(error)):
            canonical(value)
    else:
        assert canonical(value) == expected
