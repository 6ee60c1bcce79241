"""The settings of sign-in by OpenID Connect: all together, or none."""

import pytest

from config.environment import Environment
from config.oidc import oidc

GOOD = {
    "CONSOLE_URL": "https://kvitto.test/",
    "OIDC_ISSUER": "https://login.test/realms/lender/",
    "OIDC_CLIENT_ID": "kvitto",
    "OIDC_CLIENT_SECRET": "secret",
    "OIDC_ROLES": "operator=ops\nviewer=cn=support%2Cdc=lender,viewer=Finance and more",
}


def test_without_an_issuer_nothing_is_needed() -> None:
    environment = Environment({"OIDC_CLIENT_SECRET_FILE": ""})
    assert oidc(environment) is None
    assert environment.faults == []


def test_settings_that_are_valid_are_read() -> None:
    environment = Environment(GOOD)
    found = oidc(environment)
    assert environment.faults == []
    assert found is not None
    assert found.roles == (("operator", "ops"), ("viewer", "cn=support,dc=lender"), ("viewer", "Finance and more"))
    assert (found.issuer, found.console_url) == ("https://login.test/realms/lender/", "https://kvitto.test")
    assert (found.host, found.scopes) == ("login.test", "openid profile")


@pytest.mark.parametrize("name", ["CONSOLE_URL", "OIDC_CLIENT_ID", "OIDC_CLIENT_SECRET", "OIDC_ROLES"])
def test_what_is_missing_beside_the_issuer_is_named(name: str) -> None:
    environment = Environment({key: value for key, value in GOOD.items() if key != name})
    assert oidc(environment) is None
    assert [fault.name for fault in environment.faults] == [name]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CONSOLE_URL", "http://kvitto.test"),
        ("CONSOLE_URL", "https://kvitto.test/console"),
        ("CONSOLE_URL", "https://kvitto.test?a=1"),
        ("CONSOLE_URL", "kvitto.test"),
        ("OIDC_ISSUER", "http://login.test"),
        ("OIDC_SCOPES", "profile"),
        ("OIDC_ROLES", "admin=ops"),
        ("OIDC_ROLES", "ops"),
        ("OIDC_ROLES", "operator="),
    ],
)
def test_what_is_wrong_is_named(name: str, value: str) -> None:
    environment = Environment(GOOD | {name: value})
    assert oidc(environment) is None
    assert {fault.name for fault in environment.faults} == {name}
    assert all(fault.hint for fault in environment.faults)


def test_a_console_on_this_machine_needs_no_tls() -> None:
    assert oidc(Environment(GOOD | {"CONSOLE_URL": "http://127.0.0.1:8081"})) is not None
