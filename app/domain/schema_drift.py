"""Find what a content holds that the provider's schema does not declare: keys, types, values of lists.

What is found names places and never a person: array indexes and keys that may be ids or names are collapsed, and a
value is shown only if it is a few words without digits.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

Content = Mapping[str, Any]
# Path → the types that the schema declares there. Null fits everywhere.
Types = Mapping[str, frozenset[str]]
# Path of a text that has one value of a list → whether a value is in the list.
Values = Mapping[str, Callable[[Any], bool]]

NOT_SHOWN = "(not shown)"
_ANY_KEY = "*"
# A key is a name of a field: a word without spaces and with few digits. Others are collapsed.
_FIELD_NAME = re.compile(r"[^\W\d][\w-]{0,39}")
_FEW_DIGITS = 3
# An object with more keys that are not declared is a map, whose keys are collapsed.
_MOST_FIELDS = 20
_VALUE = re.compile(r"[^\W\d_]+(?:[ _/.-]{1,3}[^\W\d_]+){0,5}")
_VALUE_LENGTH = 60
_CONTAINERS = (dict, list)
# What one content may add, and how deep it is searched.
_MOST_FINDINGS = 100
_DEPTH = 8
# Shapes that are kept per event type, each an object with so many keys at most.
_MOST_SHAPES = 256
_MOST_SHAPE_KEYS = 64
_TYPES: Mapping[type, str] = {
    str: "string", int: "number", float: "number", bool: "boolean", type(None): "null", dict: "object", list: "array",
}  # fmt: skip


class Undeclared(NamedTuple):
    """A key, a type or a value that is not declared; `value` is empty unless `kind` is value.

    Kind `more` stands for what is beyond the number that is kept.
    """

    kind: Literal["key", "type", "value", "more"]
    path: str
    json_type: str
    value: str = ""


class DeclaredShape:
    """What a schema declares: types by path, and which texts come from a list."""

    def __init__(self, types: Types, values: Values | None = None) -> None:
        self._types = types
        self._values = [(path, path.split("."), is_known) for path, is_known in (values or {}).items()]
        # Nearly all contents of an event type have one of a few shapes.
        self._by_shape: dict[Any, tuple[Undeclared, ...]] = {}

    def undeclared(self, content: Content) -> tuple[Undeclared, ...]:
        """Return what a clear content holds that is not declared, each once."""
        found = self._of_shape(content)
        if values := [*self._undeclared_values(content)]:
            return (*found, *values)
        return found

    def _of_shape(self, content: Content) -> tuple[Undeclared, ...]:
        try:
            shape = _shape(content)
        except _LargeObjectError:
            return self._search(content)
        found = self._by_shape.get(shape)
        if found is None:
            if len(self._by_shape) >= _MOST_SHAPES:
                self._by_shape.clear()
            found = self._by_shape[shape] = self._search(content)
        return found

    def _search(self, content: Content) -> tuple[Undeclared, ...]:
        found: dict[Undeclared, None] = {}
        for each in self._walk(content, "", 1):
            found[each] = None
            if len(found) >= _MOST_FINDINGS:
                break
        return tuple(found)

    def _walk(self, content: Content, prefix: str, depth: int) -> Iterator[Undeclared]:
        is_map = sum(f"{prefix}{key}" not in self._types for key in content) > _MOST_FIELDS
        for key, value in content.items():
            path = f"{prefix}{key}"
            if path not in self._types or "." in key:
                path = f"{prefix}{_ANY_KEY if is_map or not _is_field_name(key) else key}"
            yield from self._check(value, path, depth)

    def _check(self, value: Any, path: str, depth: int) -> Iterator[Undeclared]:
        declared, json_type = self._types.get(path), _TYPES[type(value)]
        if declared is None:
            yield Undeclared("key", path, json_type)
        elif json_type not in declared and json_type != "null":
            yield Undeclared("type", path, json_type)
        if depth < _DEPTH and json_type == "object":
            yield from self._walk(value, f"{path}.", depth + 1)
        elif depth < _DEPTH and json_type == "array":
            for item in value:
                yield from self._check(item, f"{path}[]", depth + 1)

    def _undeclared_values(self, content: Content) -> Iterator[Undeclared]:
        for path, keys, is_known in self._values:
            value: Any = content
            for key in keys:
                value = value.get(key) if type(value) is dict else None
            if type(value) is str and not is_known(value):
                is_shown = len(value) <= _VALUE_LENGTH and _VALUE.fullmatch(value)
                yield Undeclared("value", path, "string", value if is_shown else NOT_SHOWN)


class _LargeObjectError(Exception):
    """An object has so many keys that its shape is not worth keeping."""


def _shape(value: Any) -> Any:
    """Return the keys and types of a value; equal for all values in which the same is undeclared."""
    kind = type(value)
    if kind is dict:
        if len(value) > _MOST_SHAPE_KEYS:
            raise _LargeObjectError
        # A plain value is its type: a call for each would take as long as all the rest.
        return (*value, *[kind if (kind := type(item)) not in _CONTAINERS else _shape(item) for item in value.values()])
    if kind is list:
        return frozenset(map(_shape, value))
    return kind


def _is_field_name(key: str) -> bool:
    return _FIELD_NAME.fullmatch(key) is not None and sum(map(str.isdigit, key)) <= _FEW_DIGITS
