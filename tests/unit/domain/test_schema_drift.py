"""What a content holds that its schema does not declare: found by place, without what could be personal."""

import json
from typing import Any

import pytest

from app.domain.schema_drift import NOT_SHOWN, DeclaredShape, Undeclared

SHAPE = DeclaredShape(
    {
        "id": frozenset({"string"}),
        "amount": frozenset({"number"}),
        "people": frozenset({"array"}),
        "people[]": frozenset({"object"}),
        "people[].name": frozenset({"string"}),
        "limit": frozenset({"object"}),
        "limit.unit": frozenset({"string"}),
    },
    {"limit.unit": "cents".__eq__, "id": str.isdigit},
)


def found(content: dict[str, Any]) -> set[Undeclared]:
    first, again = SHAPE.undeclared(content), SHAPE.undeclared(json.loads(json.dumps(content)))
    assert first == again
    assert len(set(first)) == len(first)
    return set(first)


def test_declared_content_has_nothing_undeclared() -> None:
    content = {"id": "1", "amount": 1.5, "people": [{"name": "a"}, None], "limit": {"unit": "cents"}}
    assert found(content) == set()
    assert found({"id": "2", "amount": None, "people": None, "limit": None}) == set()
    assert found({}) == set()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"color": "red"}, {("key", "color", "string")}),
        ({"color": None}, {("key", "color", "null")}),
        ({"amount": "12"}, {("type", "amount", "string")}),
        ({"amount": True}, {("type", "amount", "boolean")}),
        ({"people": {"name": "a"}}, {("type", "people", "object"), ("key", "people.name", "string")}),
        ({"people": [{"age": 1}, {"age": 2}, {"age": "3"}]},
         {("key", "people[].age", "number"), ("key", "people[].age", "string")}),
        ({"people": [[1]]}, {("type", "people[]", "array"), ("key", "people[][]", "number")}),
        ({"limit.unit": 7}, {("key", "*", "number")}),
    ],
)  # fmt: skip
def test_undeclared_keys_and_types_are_found_by_path(content: dict[str, Any], expected: set[tuple[str, ...]]) -> None:
    assert {tuple(each[:3]) for each in found(content)} == expected


def test_undeclared_values_are_found_and_shown_only_as_words() -> None:
    def unit(value: str) -> set[Undeclared]:
        return found({"limit": {"unit": value}})

    assert unit("cents") == set()
    assert unit("micro units") == {Undeclared("value", "limit.unit", "string", "micro units")}
    for personal in ("19811218-9876", "anna@example.se", "Storgatan 7", "a" * 61, "0701234567", ""):
        assert unit(personal) == {Undeclared("value", "limit.unit", "string", NOT_SHOWN)}


@pytest.mark.parametrize(
    "key",
    ["19811218-9876", "Anna Andersson", "anna@example.se", "3f2b8c1e9d", "a1b2c3d4", "", "x" * 41, "+467012345"],
)
def test_keys_that_may_be_ids_or_names_are_collapsed(key: str) -> None:
    assert found({key: "x"}) == {Undeclared("key", "*", "string")}
    assert found({"people": [{key: {"deep": 1}}]}) == {
        Undeclared("key", "people[].*", "object"),
        Undeclared("key", "people[].*.deep", "number"),
    }


def test_an_object_with_many_keys_is_a_map() -> None:
    letters = [chr(ord("a") + number) for number in range(21)]
    assert found({"offers": dict.fromkeys(letters, 1)}) == {
        Undeclared("key", "offers", "object"),
        Undeclared("key", "offers.*", "number"),
    }


def test_huge_and_deep_content_adds_a_bounded_number() -> None:
    deep: dict[str, Any] = {}
    for _ in range(60):
        deep = {"a": [deep], "b": 1}
    for content in ({f"key_{chr(97 + a)}{chr(97 + b)}": {"x": 1} for a in range(26) for b in range(26)}, deep):
        assert 0 < len(SHAPE.undeclared(content)) <= 100
