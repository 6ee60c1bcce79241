"""A request that was saved as a file."""

from dataclasses import dataclass
from email.message import Message
from email.parser import BytesHeaderParser


@dataclass(frozen=True, slots=True)
class SavedRequest:
    """A request as text: request line, headers, an empty line, the raw body. `topic` is None without a segment."""

    provider: str
    topic: str | None
    headers: Message
    body: bytes

    @classmethod
    def parse(cls, text: bytes) -> "SavedRequest":
        """Parse a request; raise ValueError unless its first line is like `POST /webhooks/… HTTP/1.1`."""
        newline = b"\r\n" if b"\r\n" in text.partition(b"\n")[0] + b"\n" else b"\n"
        head, _, body = text.partition(newline * 2)
        line, _, headers = head.partition(newline)
        words = line.decode("ascii", "replace").split()
        path = words[1].partition("?")[0].rstrip("/") if len(words) > 1 else ""
        if words[:1] != ["POST"] or not path.startswith("/webhooks/") or path.count("/") > 3:
            raise ValueError("the first line must be like: POST /webhooks/PROVIDER/TOPIC HTTP/1.1")
        provider, _, topic = path.removeprefix("/webhooks/").partition("/")
        return cls(provider, topic or None, BytesHeaderParser().parsebytes(headers), body)

    def header(self, name: str) -> str:
        """Return the value of a header, empty if there is none."""
        return str(self.headers.get(name, ""))
