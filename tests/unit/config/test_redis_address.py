"""An address of Redis is parsed once; what cannot be kept is refused by name, without any part of the password."""

import pytest
from kombu import Connection
from kombu.utils.url import parse_url

from config.redis_address import RedisAddress, RedisAddressError

PASSWORD = "ab;c:d%e&f=g+h@i"


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://h", RedisAddress((("h", 6379),))),
        ("redis://h/", RedisAddress((("h", 6379),))),
        ("redis://h:7/2", RedisAddress((("h", 7),), database=2)),
        ("redis://:ab;c@h", RedisAddress((("h", 6379),), password="ab;c")),
        ("redis://u:%2F%23%3F@h", RedisAddress((("h", 6379),), "u", "/#?")),
        ("redis://u:a@b@h", RedisAddress((("h", 6379),), "u", "a@b")),
        ("rediss://[::1]:7/1", RedisAddress((("::1", 7),), database=1, tls=True)),
        ("unix:///a/b", RedisAddress(socket_file="/a/b")),
        ("unix://u:p@/a%20b?db=3", RedisAddress((), "u", "p", 3, socket_file="/a b")),
        ("redis+sentinel://a,b:1/m", RedisAddress((("a", 26379), ("b", 1)), primary="m")),
        ("rediss+sentinel://:p@a,[::1]/m/2", RedisAddress((("a", 26379), ("::1", 26379)), "", "p", 2, True, "", "m")),
    ],
)
def test_address_is_read_into_its_parts(url: str, address: RedisAddress) -> None:
    assert RedisAddress.parse(url) == address


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://h", "no redis:// address"),
        ("redis://h?socket_timeout=5", "does not take: socket_timeout"),
        ("redis://h/0?protocol=3&db=2", "does not take: db, protocol"),
        ("rediss://h?ssl_cert_reqs=none", "does not take: ssl_cert_reqs"),
        ("redis+sentinel://h/m?x", "does not take: x"),
        ("unix:///a?db=1&timeout=2", "does not take: timeout"),
        ("redis://h/x", "its database is no number"),
        ("redis://h/0/1", "its database is no number"),
        ("redis://:hid/den@h", "cannot be read"),
        ("redis://:hid#den@h", "cannot be read"),
        ("redis://:hid?den@h", "cannot be read"),
        ("redis://:hid[den@h", "cannot be read"),
        ("redis://:hid\tden@h", "a control character"),
        ("redis://:hid den@h", "a space"),
        ("redis://:hid\u200bden@h", "a control character"),
        ("redis://hidden@h", "a user without a password"),
        ("redis://", "cannot be read"),
        ("redis://::1", "cannot be read"),
        ("redis://[::g]", "cannot be read"),
        ("redis://h:0", "cannot be read"),
        ("redis://h:65536", "cannot be read"),
        ("redis://h,i", "cannot be read"),
        ("redis+sentinel://h", "which primary"),
        ("redis+sentinel://h,/m", "cannot be read"),
        ("unix://h/a", "cannot be read"),
        ("unix://", "cannot be read"),
    ],
)
def test_address_that_would_be_read_otherwise_is_refused(url: str, message: str) -> None:
    with pytest.raises(RedisAddressError, match=message) as caught:
        RedisAddress.parse(url)
    assert "hid" not in str(caught.value)
    assert caught.value.hint


def test_address_for_kombu_has_the_same_parts_whatever_the_password_is() -> None:
    address = RedisAddress((("h", 7),), "u;", PASSWORD, 2)
    parts = parse_url(address.kombu_url)
    assert (parts["hostname"], parts["port"], parts["virtual_host"]) == ("h", 7, "2")
    assert (parts["userid"], parts["password"]) == ("u;", PASSWORD)


def test_address_of_sentinels_for_kombu_names_each_with_the_login() -> None:
    address = RedisAddress((("a", 1), ("::1", 2)), "", PASSWORD, 3, primary="m")
    connection = Connection(address.kombu_url)
    assert [parse_url(url)["hostname"] for url in connection.alt] == ["a", "::1"]
    assert {parse_url(url)["password"] for url in connection.alt} == {PASSWORD}


def test_address_shows_no_password() -> None:
    shown = repr(RedisAddress.parse(f"redis+sentinel://:{PASSWORD}@h/m", "of-the-sentinels"))
    assert "ab;c" not in shown
    assert "of-the-sentinels" not in shown
