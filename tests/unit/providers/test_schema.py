"""A lenient schema loads as marshmallow would."""

from functools import cache
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from marshmallow import INCLUDE, Schema, ValidationError, fields, post_load, validate

from app.errors import InvalidDeliveryError
from app.providers.kompar.schemas import Application, Decision
from app.providers.schema import LenientSchema
from app.providers.solaris.schemas import CreditLine, OverdraftRate, RejectedTransaction

SCHEMAS = (Application(), Decision(), CreditLine(), OverdraftRate(), RejectedTransaction())
USUAL: dict[type, Any] = {
    fields.Integer: 1,
    fields.Float: 1,
    fields.Boolean: True,
    fields.AwareDateTime: "2019-08-24T14:15:22Z",
    fields.Tuple: ["a", 1],
}


class Slow(Schema):
    """Plain marshmallow: the expected behaviour."""

    class Meta:
        unknown = INCLUDE


@cache
def declared(base: type[Schema]) -> Schema:
    """Return one schema, with every kind of declaration, upon a base."""

    class Inner(base):  # type: ignore[misc, valid-type]
        text = fields.String(required=True)
        number = fields.Float()

    class Outer(base):  # type: ignore[misc, valid-type]
        text = fields.String(allow_none=True)
        needed = fields.String(required=True)
        short = fields.String(validate=validate.Length(max=2))
        upper = fields.String(post_load=str.upper)
        preset = fields.String(load_default="preset")
        whole = fields.Integer(strict=True)
        read = fields.Integer(allow_none=True)
        number = fields.Float(allow_none=True)
        flag = fields.Boolean()
        word = fields.Boolean(truthy={"ja"}, falsy={"nej"})
        at = fields.AwareDateTime(format="iso")
        inner = fields.Nested(Inner, allow_none=True)
        chosen = fields.Nested(Inner(), only=("number",))
        inners = fields.List(fields.Nested(Inner))
        pair = fields.Tuple((fields.String(), fields.Integer()))

    return Outer()


def outcome(load: Any, data: Any, **options: Any) -> Any:
    """Return the result or the messages of a load, with types, without the order of keys."""
    try:
        return ordered(load(data, **options))
    except ValidationError as error:
        return ordered(error.messages_dict)


def ordered(value: Any) -> Any:
    if isinstance(value, dict):
        return sorted((str(key), ordered(item)) for key, item in value.items())
    return [ordered(item) for item in value] if isinstance(value, list) else repr(value)


scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)
    | st.sampled_from([10**400, "ja", "1", "true", "2019-08-24T14:15:22Z", "2019-08-24T14:15:22", "2019-13-01"])
)  # fmt: skip


def usual(field: fields.Field[Any]) -> Any:
    """Return a value that a field takes."""
    if isinstance(field, fields.Nested):
        return {name: usual(each) for name, each in field.schema.fields.items()}
    if isinstance(field, fields.List):
        return [usual(field.inner)]
    return USUAL.get(type(field), "a")


@cache
def contents(schema: Schema) -> st.SearchStrategy[Any]:
    """Return content of the schema's keys and of others, at two levels; some of it usual, so that much is valid."""
    whole = {name: usual(field) for name, field in schema.fields.items()}
    names = sorted({"ssn", "value", "unit", "currency", "unheard of", *whole})
    inner = scalars | st.dictionaries(st.sampled_from(names), scalars, max_size=4)
    outer = inner | st.lists(inner, max_size=2)
    drawn = st.dictionaries(st.sampled_from(names), outer, max_size=4)
    return st.one_of(drawn, drawn.map(lambda content: whole | content), st.lists(st.none(), max_size=1), st.none())


@given(contents(declared(Slow)))
@example(
    {
        "needed": "a",
        "inner": {"text": "a", "number": 1},
        "chosen": {"text": 1},
        "inners": [{"text": "a"}],
        "number": 1,
        "flag": True,
    }
)
@example({"needed": "a", "inners": [{"text": 1}, None, {"text": "a", "number": "x"}], "word": True, "flag": 1})
def test_every_kind_of_field_loads_as_marshmallow_loads_it(data: Any) -> None:
    assert outcome(declared(LenientSchema).load, data) == outcome(declared(Slow).load, data)


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: type(schema).__name__)
@given(st.data())
def test_what_providers_send_loads_as_marshmallow_loads_it(schema: Schema, data: st.DataObject) -> None:
    content = data.draw(contents(schema))
    assert outcome(schema.load, content) == outcome(schema.load, content, partial=False)


@pytest.mark.parametrize("options", [{"partial": True}, {"unknown": "exclude"}, {"many": True}])
def test_load_with_an_option_behaves_like_marshmallow(options: dict[str, Any]) -> None:
    for data in ({"text": "a", "other": 1}, [{"text": "a", "needed": "b"}]):
        assert outcome(declared(LenientSchema).load, data, **options) == outcome(declared(Slow).load, data, **options)


def test_load_with_hooks_or_data_keys_behaves_like_marshmallow() -> None:
    class Hooked(LenientSchema):
        text = fields.String()

        @post_load
        def shout(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
            return data | {"text": data["text"].upper()}

    class Renamed(LenientSchema):
        text = fields.String(data_key="Text")

    assert Hooked().load({"text": "a"}) == {"text": "A"}
    assert Renamed().load({"Text": "a"}) == {"text": "a"}


def test_a_nested_copy_with_fewer_fields_does_not_use_the_plan_of_its_original() -> None:
    class Inner(LenientSchema):
        text = fields.String(required=True)
        number = fields.Integer()

    inner = Inner()
    assert inner.load({"text": "a", "number": 1}) == {"text": "a", "number": 1}

    class Outer(LenientSchema):
        chosen = fields.Nested(inner, only=("number",))

    assert Outer().load({"chosen": {"number": 1}}) == {"chosen": {"number": 1}}


def test_load_does_not_change_its_input() -> None:
    content = {"needed": "a", "number": 1}
    assert declared(LenientSchema).load(content)["number"] == 1.0
    assert repr(content) == "{'needed': 'a', 'number': 1}"


def test_load_of_a_recursive_schema_takes_linear_time() -> None:
    class Tree(LenientSchema):
        text = fields.String()
        below = fields.Nested("Tree")

    data: dict[str, Any] = {"text": 1}
    for _ in range(40):
        data = {"below": data}
    with pytest.raises(ValidationError):
        Tree().load(data)


@pytest.mark.parametrize(
    ("value", "amount"),
    [
        (500000, 500000), ("500000", 500000), ("500 000", 500000), ("1\u00a0250\u202f000", 1250000), (12.0, 12),
        ("12.0", 12), ("12,00", 12), (" 7 ", 7), ("\u22127", -7), ("５０", 50), (None, None), (2**63 - 1, 2**63 - 1),
    ],
)  # fmt: skip
def test_convert_takes_every_lossless_spelling_of_a_whole_number(value: object, amount: int | None) -> None:
    assert Application().convert({"application_id": "a", "amount": value}) == (
        {"application_id": "a", "amount": amount}, [],
    )  # fmt: skip


@pytest.mark.parametrize(
    "value",
    [
        500000.5,
        "500000.50",
        "half",
        "",
        "500.000",
        "1,250",
        "5e5",
        "1 25",
        True,
        [1],
        {"a": 1},
        2**63,
        1e30,
        "9" * 500,
        10**400,
    ],
)
def test_convert_names_a_value_that_is_no_whole_number(value: object) -> None:
    converted, misfits = Application().convert({"application_id": "a", "amount": value, "name": "b"})
    assert (converted, misfits) == ({"application_id": "a", "amount": None, "name": "b"}, ["amount"])


@pytest.mark.parametrize(
    ("value", "number"),
    [("56581,19", 56581.19), ("56 581.19", 56581.19), ("0.125", 0.125), ("1250.125", 1250.125), (7, 7)],
)
def test_convert_takes_every_plain_spelling_of_a_number(value: object, number: float) -> None:
    content = {"application_id": "a", "company_revenue": value}
    assert Application().convert(content)[0]["company_revenue"] == number


@pytest.mark.parametrize("value", ["1.125", "NaN", "Infinity", float("nan"), float("inf"), 10**400, False])
def test_convert_names_a_value_that_is_no_plain_number(value: object) -> None:
    assert Application().convert({"application_id": "a", "company_revenue": value})[1] == ["company_revenue"]


@pytest.mark.parametrize(("value", "text"), [(5560360793, "5560360793"), (1.5, "1.5"), ("a", "a"), (None, None)])
def test_convert_takes_a_number_as_text(value: object, text: str | None) -> None:
    assert Application().convert({"application_id": "a", "company_id": value}) == (
        {"application_id": "a", "company_id": text}, [],
    )  # fmt: skip


@pytest.mark.parametrize("content", [{"id": None}, {"id": "a", "offered_limit": {"value": 1}}])
def test_convert_of_content_without_what_is_required_is_invalid(content: dict[str, Any]) -> None:
    schema = CreditLine() if "offered_limit" in content else OverdraftRate()
    with pytest.raises(InvalidDeliveryError) as caught:
        schema.convert(content)
    assert caught.value.reason == "invalid"


@given(
    st.dictionaries(
        st.sampled_from(sorted(Application().fields.keys() - {"application_id"})), scalars | st.lists(scalars)
    )
)
def test_convert_never_rejects_a_value_of_another_type(content: dict[str, Any]) -> None:
    converted, misfits = Application().convert(content | {"application_id": "a"})
    assert converted.keys() == content.keys() | {"application_id"}
    assert all(converted[key] is None for key in misfits)
