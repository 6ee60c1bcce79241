"""A request that was saved as a file."""

import re
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesHeaderParser

# The line before a chunk: its size in hexadecimal, and extensions.
_CHUNK = re.compile(rb"([0-9A-Fa-f]+)[ \t]*(?:;[^\n]*)?\r?\n")


@dataclass(frozen=True, slots=True)
class SavedRequest:
    """A request as text: request line, headers, an empty line, the raw body. `topic` is None without a segment."""

    provider: str
    topic: str | None
    headers: Message
    body: bytes

    @classmethod
    def parse(cls, text: bytes) -> "SavedRequest":
        """Parse a request; raise ValueError unless its first line is like `POST /webhooks/… HTTP/1.1`.

        What follows the body is ignored, such as the line end that an editor adds.
        """
        newline = b"\r\n" if b"\r\n" in text.partition(b"\n")[0] + b"\n" else b"\n"
        head, _, body = text.partition(newline * 2)
        line, _, headers = head.partition(newline)
        words = line.decode("ascii", "replace").split()
        path = words[1].partition("?")[0].rstrip("/") if len(words) > 1 else ""
        if words[:1] != ["POST"] or not path.startswith("/webhooks/") or path.count("/") > 3:
            raise ValueError("the first line must be like: POST /webhooks/PROVIDER/TOPIC HTTP/1.1")
        provider, _, topic = path.removeprefix("/webhooks/").partition("/")
        parsed = BytesHeaderParser().parsebytes(headers)
        return cls(provider, topic or None, parsed, _body(parsed, body))

    def header(self, name: str) -> str:
        """Return the value of a header, empty if there is none."""
        return str(self.headers.get(name, ""))


def _body(headers: Message, text: bytes) -> bytes:
    """Return the body in `text`: without chunks, and as long as Content-Length says."""
    if "chunked" in str(headers.get("Transfer-Encoding", "")).lower():
        return _unchunked(text)
    declared = str(headers.get("Content-Length", "")).strip()
    if not declared.isdecimal():
        return text
    if len(text) < int(declared):
        raise ValueError(f"the body has {len(text)} bytes, but Content-Length declares {declared}: save it whole")
    return text[: int(declared)]


def _unchunked(text: bytes) -> bytes:
    """Return a body without its chunks; a tool that saved it may have undone them already."""
    parts: list[bytes] = []
    rest = text
    while match := _CHUNK.match(rest):
        size = int(match[1], 16)
        if size == 0:
            return b"".join(parts)
        parts.append(rest[match.end() : match.end() + size])
        rest = rest[match.end() + size :].removeprefix(b"\r").removeprefix(b"\n")
    if parts:
        raise ValueError("the last chunk of the body is missing: save the request whole")
    return text
