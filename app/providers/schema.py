"""What providers' schemas share: lenient fields, a base that keeps unknown keys, and rows of projections.

Only what the provider calls required can make a delivery invalid. A value of another type is converted if its meaning
is plain. If not, the content keeps it, its column is null, and the event is flagged `invalid-<key>`.
"""

import re
import sys
import unicodedata
from collections.abc import Collection, Iterator, Mapping
from decimal import Decimal
from typing import Any

from marshmallow import INCLUDE, Schema, ValidationError, fields, missing

from app.domain.event import Content
from app.domain.json_content import flatten
from app.domain.schema_drift import DeclaredShape, Values
from app.errors import INVALID, InvalidDeliveryError

_LARGEST_BIGINT = 2**63 - 1
_LARGEST_FLOAT = sys.float_info.max
# Thousands may be separated by spaces. A comma is a decimal point, as it is written in Sweden.
_NUMBER = re.compile(r"[+-]?(?:[0-9]+|[0-9]{1,3}(?: [0-9]{3})+)(?:[.,][0-9]+)?")
# One thousand and more, or one and a fraction: nobody but the sender knows.
_AMBIGUOUS = re.compile(r"[+-]?[1-9][0-9]{0,2}[.,][0-9]{3}")
# What marshmallow says of a required field that is missing or null. The provider requires no item of a list.
_ABSENT = re.compile(r"(?:^|\.)(?![0-9]+:)[^.:]+: (?:Missing data for required field|Field may not be null)\.$")


class Text(fields.String):
    """A text. A number is written as text, since some senders drop the quotes of ids that are digits."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return super()._deserialize(str(value) if is_number else value, attr, data, **kwargs)


class Whole(fields.Integer):
    """A whole number within the range of Postgres' bigint; also as text, or with a fraction of zero."""

    def _validated(self, value: Any) -> int:
        number = _read_number(value)
        if number is None or abs(number) > _LARGEST_BIGINT or number % 1:
            raise self.make_error("invalid", input=value)
        return int(number)


class Number(fields.Float):
    """A number, also as text."""

    def _validated(self, value: Any) -> float:
        number = _read_number(value)
        if number is None:
            raise self.make_error("invalid", input=value)
        return super()._validated(number)


def _read_number(value: Any) -> Decimal | None:
    """Return the number that a value stands for, None if it stands for none or for several."""
    if isinstance(value, str):
        plain = unicodedata.normalize("NFKC", value).replace("\N{MINUS SIGN}", "-").strip()
        is_plain = _NUMBER.fullmatch(plain) and not _AMBIGUOUS.fullmatch(plain)
        return Decimal(plain.replace(" ", "").replace(",", ".")) if is_plain else None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= _LARGEST_FLOAT:
        return None
    return Decimal(repr(value))


# The JSON type that a field loads unchanged. It is compared by identity, because isinstance takes True for an int.
_UNCHANGED_TYPES: dict[type[fields.Field[Any]], type] = {
    fields.String: str, fields.Boolean: bool, fields.Integer: int, fields.Float: float,
    Text: str, Whole: int, Number: float,
}  # fmt: skip
_NUMBERS = (int, float)
# The JSON type that a field declares; every other field stands for a text.
_DECLARED_TYPES: dict[type[fields.Field[Any]], str] = {
    fields.Boolean: "boolean", fields.Number: "number", fields.Nested: "object", fields.List: "array",
}  # fmt: skip
# Per field: its name, the types that it loads unchanged, and the field itself for values of other types.
_Plan = list[tuple[str, frozenset[type], fields.Field[Any]]]


class LenientSchema(Schema):
    """A schema that keeps unknown keys, and loads faster than marshmallow with the same result.

    Nearly every value has a type that its field loads unchanged. The fast path copies such values and has the fields
    load only the others. At the first error marshmallow loads everything, so errors are marshmallow's own.
    """

    # Over all valid samples the fast path saves about a fifth of the CPU time of DeliveryProcessor.process.

    class Meta:
        """Keep unknown keys."""

        unknown = INCLUDE

    _plan: _Plan | None = None
    _planned_fields: Mapping[str, fields.Field[Any]] | None = None

    def load(self, data: Any, **options: Any) -> Any:
        """Return the content with the values of declared fields converted; raise ValidationError."""
        # Nesting a schema with `only` copies it and replaces `load_fields`: the plan of the original does not fit.
        if self._planned_fields is not self.load_fields:
            self._plan, self._planned_fields = _make_plan(self), self.load_fields
        has_options = any(option is not None for option in options.values())
        if self._plan is None or type(data) is not dict or has_options:
            return super().load(data, **options)
        loaded = dict(data)
        try:
            for name, unchanged_types, field in self._plan:
                value = data.get(name, missing)
                if type(value) not in unchanged_types or (type(value) in _NUMBERS and not _is_in_range(value)):
                    value = field.deserialize(value, name, data)
                    if value is not missing:
                        loaded[name] = value
        except ValidationError:
            # Nested schemas get `partial` too, so they skip the fast path and no level is tried twice.
            return super().load(data, partial=False)
        return loaded

    def convert(self, content: Content) -> tuple[Content, list[str]]:
        """Return the content converted, with None for values that do not fit, and the keys of these values.

        Raises:
            InvalidDeliveryError: `invalid`: a value that the provider calls required is missing or null.
        """
        try:
            return self.load(content), []
        except ValidationError as error:
            faults = flatten(error.messages_dict)
            if absent := [fault for fault in faults if _ABSENT.search(fault)]:
                raise InvalidDeliveryError(INVALID, "; ".join(absent)) from error
            misfits = sorted(error.messages_dict)
            valid: Any = error.valid_data
            return {**content, **valid, **dict.fromkeys(misfits)}, misfits


def declared_shape(schema: Schema, values: Values | None = None) -> DeclaredShape:
    """Return what a schema declares; `values` by path: whether the list of a field has a value."""
    return DeclaredShape(dict(_declared(schema.fields, "")), values)


def _declared(declared: Mapping[str, fields.Field[Any]], prefix: str) -> Iterator[tuple[str, frozenset[str]]]:
    for name, field in declared.items():
        yield from _declared_at(field, f"{prefix}{name}")


def _declared_at(field: fields.Field[Any], path: str) -> Iterator[tuple[str, frozenset[str]]]:
    yield path, frozenset({next((name for kind, name in _DECLARED_TYPES.items() if isinstance(field, kind)), "string")})
    if isinstance(field, fields.Nested):
        yield from _declared(field.schema.fields, f"{path}.")
    elif isinstance(field, fields.List):
        yield from _declared_at(field.inner, f"{path}[]")


def entity_id(value: Any) -> str | None:
    """Return the id that a value is, None if it is no usable one: a text that is not blank, or a whole number."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) and value.strip() else None


def table_row(
    content: Content, schema: LenientSchema, columns: Collection[str], elsewhere: Collection[str] = ()
) -> dict[str, Any]:
    """Return the row of a projection: converted values by column, texts in NFC, and `extra`.

    `extra` has all keys that have no column and are not `elsewhere`, and those whose value does not fit its column.
    """
    converted, misfits = schema.convert(content)
    values = {column: converted.get(column) for column in columns}
    row = {
        key: unicodedata.normalize("NFC", value) if isinstance(value, str) else value for key, value in values.items()
    }
    has_place = {*columns, *elsewhere}.difference(misfits)
    return row | {"extra": {key: value for key, value in content.items() if key not in has_place}}


def _is_in_range(number: float) -> bool:
    """Return whether no field rejects a number for its size; False for NaN."""
    return -_LARGEST_BIGINT <= number <= _LARGEST_BIGINT


def _make_plan(schema: Schema) -> _Plan | None:
    """Return how to load the declared fields fast, None for a schema with features that only marshmallow handles."""
    options = (schema.unknown, schema.many, schema.partial, schema.dict_class)
    if options != (INCLUDE, False, None, dict) or any(type(schema).resolve_hooks().values()):
        return None
    if any(field.data_key is not None or field.attribute is not None for field in schema.load_fields.values()):
        return None
    return [(name, _unchanged_types(field), field) for name, field in schema.load_fields.items()]


def _unchanged_types(field: fields.Field[Any]) -> frozenset[type]:
    json_type = _UNCHANGED_TYPES.get(type(field))
    has_own_booleans = not {"truthy", "falsy"}.isdisjoint(vars(field))
    if json_type is None or has_own_booleans or field.validators or field.pre_load or field.post_load:
        return frozenset()
    return frozenset((json_type, type(None)) if field.allow_none else (json_type,))
