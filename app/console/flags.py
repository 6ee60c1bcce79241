"""What the quality flags of an event mean, in words."""

from collections.abc import Mapping

_MEANINGS: Mapping[str, str] = {
    "company-id-checksum": "the company's number is no valid organisation number or personal number",
    "duplicate-key": "a JSON object holds a key twice; the last value counts",
    "ssn-checksum": "a personal number is not valid",
    "unknown-purpose": "the purpose is not in the provider's list",
    "unknown-status": "the status is not in the provider's list",
    "unknown-decision": "the decision is not in the provider's list",
    "unknown-unit": "money in another unit than cents; its column is empty",
    "unknown-currency": "money in another currency than EUR",
    "iban-checksum": "the IBAN is invalid",
    "no-schema": "no schema describes the content; the event is kept whole",
    "id-reused": "the provider sent a known id with other content",
    "after-erasure": "the entity, or a person in it, was erased before this event came",
    "late-retry-suspected": "a late retry may be a change back of the customer",
}


def meaning(flag: str) -> str:
    """Return what a flag means."""
    if flag.startswith("invalid-"):
        return f"the value of {flag.removeprefix('invalid-')} does not fit its column, which is empty"
    return _MEANINGS.get(flag, "")
