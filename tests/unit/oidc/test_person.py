"""What the claims of an ID token mean: a name for the access log, and a role."""

from typing import Any

import pytest

from app.errors import SignInError
from app.oidc.person import Person, has_claims, read_person
from config.oidc import OidcSettings

CLAIMS = {"sub": "4711", "preferred_username": "ada", "groups": ["support", "ops"]}


def settings(**changed: str) -> OidcSettings:
    given: dict[str, Any] = {"name_claim": "preferred_username", "roles_claim": "groups", **changed}
    roles: Any = (("privacy", "dpo"), ("operator", "ops"), ("viewer", "support"))
    address = "https://login.test"
    return OidcSettings(address, "kvitto", "secret", "openid", roles=roles, console_url="https://kvitto.test", **given)


def test_the_first_role_that_fits_counts_whatever_the_order_of_groups() -> None:
    assert read_person(CLAIMS, settings()) == Person("ada", "operator", "4711")
    assert read_person(CLAIMS | {"groups": ["ops", "dpo"]}, settings()).role == "privacy"


@pytest.mark.parametrize(
    ("path", "claims"),
    [
        ("role", {"role": "ops"}),
        ("realm_access.roles", {"realm_access": {"roles": ["ops"]}}),
        ("https://kvitto.test/roles", {"https://kvitto.test/roles": ["ops"]}),
    ],
)
def test_a_role_is_found_as_text_in_a_list_and_within_a_claim(path: str, claims: dict[str, Any]) -> None:
    assert read_person(CLAIMS | {"groups": []} | claims, settings(roles_claim=path)).role == "operator"


@pytest.mark.parametrize("groups", [None, [], ["OPS"], "ops support", {"ops": True}, [["ops"]], 1])
def test_a_person_without_a_role_is_refused(groups: Any) -> None:
    with pytest.raises(SignInError, match="no role") as caught:
        read_person(CLAIMS | {"groups": groups}, settings())
    assert caught.value.reason == "no-role"


@pytest.mark.parametrize("name", [None, "", "a\nb", 7, ["ada"], "x" * 65, "19811218-9876", "１９８１１２１８９８７６"])
def test_a_name_that_cannot_be_recorded_is_refused_and_not_quoted(name: Any) -> None:
    with pytest.raises(SignInError) as caught:
        read_person(CLAIMS | {"preferred_username": name}, settings())
    assert caught.value.reason == "no-name"
    assert not name or str(name) not in str(caught.value)


def test_an_address_that_is_not_verified_is_no_name() -> None:
    claims = CLAIMS | {"email": "ada@lender.example"}
    assert read_person(claims, settings(name_claim="email")).name == "ada@lender.example"
    with pytest.raises(SignInError, match="not verified"):
        read_person(claims | {"email_verified": False}, settings(name_claim="email"))


def test_a_national_id_in_the_subject_is_masked() -> None:
    assert read_person(CLAIMS | {"sub": "se:19811218-9876"}, settings()).subject == "se:19811218-****"


def test_claims_are_missing_if_one_is() -> None:
    assert has_claims(CLAIMS, settings())
    assert not has_claims({"sub": "4711", "groups": []}, settings())
    assert not has_claims({"sub": "4711", "preferred_username": "ada"}, settings())
