"""Addresses of Postgres: which options stay, and which are faults."""

import pytest

from app.storage.primary import connection_arguments, require_address
from config.environment import ConfigurationError

ADDRESS = "postgresql://user:hidden@host/name"


@pytest.mark.parametrize(
    "address",
    [
        ADDRESS,
        "postgresql://user@first:5432,second:5433/name",
        f"{ADDRESS}?sslmode=verify-full&sslrootcert=/ca.pem&channel_binding=require",
        f"{ADDRESS}?options=-c%20geqo%3Doff",
        f"{ADDRESS}?target_session_attrs=read-write",
    ],
)
def test_address_may_have_options_that_kvitto_does_not_set(address: str) -> None:
    require_address(address)


@pytest.mark.parametrize(
    "option",
    [name for name in connection_arguments("x") if name not in ("autocommit", "row_factory", "prepare_threshold")],
)
def test_option_that_kvitto_sets_itself_is_a_fault(option: str) -> None:
    with pytest.raises(ConfigurationError, match=f"DATABASE_URL: holds {option}, which Kvitto sets itself") as caught:
        require_address(f"{ADDRESS}?{option}=10")
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("address", [f"{ADDRESS}?nonsense=1", "postgresql://[", "postgresql://user:hidden%zz@host"])
def test_address_that_libpq_cannot_read_is_a_fault(address: str) -> None:
    with pytest.raises(ConfigurationError, match="DATABASE_URL: cannot be read as an address") as caught:
        require_address(address)
    assert "hidden" not in str(caught.value)
