"""Requests that were saved as files."""

import pytest

from app.processing.saved_request import SavedRequest

LINE = b"POST /webhooks/kompar/decisions HTTP/1.1\r\n"


def body(headers: bytes, text: bytes) -> bytes:
    return SavedRequest.parse(LINE + headers + b"\r\n\r\n" + text).body


def test_a_saved_body_ends_where_content_length_says() -> None:
    assert body(b"Content-Length: 2", b"{}\n") == b"{}"


def test_a_saved_body_that_is_too_short_is_reported() -> None:
    with pytest.raises(ValueError, match="save it whole"):
        body(b"Content-Length: 9", b"{}")


def test_a_saved_body_without_a_length_is_kept_whole() -> None:
    assert body(b"Host: x", b"{}\n") == b"{}\n"


@pytest.mark.parametrize("text", [b"2\r\n{}\r\n0\r\n\r\n", b"1;a=b\r\n{\r\n1\r\n}\r\n0\r\n", b"2\n{}\n0\n\n", b"{}"])
def test_a_saved_body_in_chunks_is_joined(text: bytes) -> None:
    assert body(b"Transfer-Encoding: chunked", text) == b"{}"


def test_a_saved_body_without_its_last_chunk_is_reported() -> None:
    with pytest.raises(ValueError, match="last chunk"):
        body(b"Transfer-Encoding: chunked", b"2\r\n{}\r\n")
