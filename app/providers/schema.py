"""What the schemas of all providers have in common: unknown keys are kept, and usual content is loaded fast."""

from collections.abc import Mapping, Sequence
from typing import Any

from marshmallow import INCLUDE, Schema, ValidationError, fields, missing, types

# The type of JSON value that a field loads as it is. Booleans are told from integers, unlike by isinstance.
_KEPT: dict[type[fields.Field[Any]], type] = {fields.String: str, fields.Boolean: bool, fields.Integer: int}
# A field's name, the types that it keeps, and the field, for values of all others.
_Plan = list[tuple[str, frozenset[type], fields.Field[Any]]]


class LenientSchema(Schema):
    """A schema that keeps what it does not know, and loads in a quarter of marshmallow's time.

    Nearly every value that arrives is of a type that its field keeps as it is. Such values are taken at sight, the
    others are loaded by their fields one by one, and at the first error marshmallow loads the whole: what comes out is
    marshmallow's result or marshmallow's messages.
    """

    class Meta:
        """Keep what is not known."""

        unknown = INCLUDE

    def _init_fields(self) -> None:
        """Plan whenever marshmallow settles on the fields: when made, and when nested with a choice of them."""
        super()._init_fields()
        self._plan = self._planned()

    def load(
        self,
        data: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        *,
        many: bool | None = None,
        partial: bool | types.StrSequenceOrSet | None = None,
        unknown: types.UnknownOption | None = None,
    ) -> Any:
        """Return the content with the declared fields' values as their types; raises ValidationError."""
        options = (many, partial, unknown)
        if self._plan is None or type(data) is not dict or options != (None, None, None):
            return super().load(data, many=many, partial=partial, unknown=unknown)
        try:
            return _loaded(self._plan, data)
        except ValidationError:
            # False is the default, said aloud: it reaches nested schemas, which then do not try both ways again.
            return super().load(data, partial=False)

    def _planned(self) -> _Plan | None:
        """Derive from the declared fields how to load; None where something is declared that only marshmallow knows."""
        options = (self.unknown, self.many, self.partial, self.dict_class)
        if options != (INCLUDE, False, None, dict) or any(type(self).resolve_hooks().values()):
            return None
        if any(field.data_key is not None or field.attribute is not None for field in self.load_fields.values()):
            return None
        return [(name, _kept(field), field) for name, field in self.load_fields.items()]


def _kept(field: fields.Field[Any]) -> frozenset[type]:
    """Return the types of values that the field loads as they are."""
    kind = _KEPT.get(type(field))
    has_own_words = not {"truthy", "falsy"}.isdisjoint(vars(field))  # for true and false
    if kind is None or has_own_words or field.validators or field.pre_load or field.post_load:
        return frozenset()
    return frozenset((kind, type(None)) if field.allow_none else (kind,))


def _loaded(plan: _Plan, data: dict[str, Any]) -> dict[str, Any]:
    loaded = dict(data)
    for name, kept, field in plan:
        value = data.get(name, missing)
        if type(value) not in kept:
            value = field.deserialize(value, name, data)
            if value is not missing:
                loaded[name] = value
    return loaded
