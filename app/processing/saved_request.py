"""A request that was saved as a file."""

from dataclasses import dataclass
from email.message import Message
from email.parser import BytesHeaderParser


@dataclass(frozen=True, slots=True)
class SavedRequest:
    """A request as text: request line, headers, an empty line, the raw body."""

    path: str
    headers: Message
    body: bytes

    @classmethod
    def parse(cls, text: bytes) -> "SavedRequest":
        """Read it; raises ValueError where the first line is no `POST /webhooks/… HTTP/1.1`."""
        newline = b"\r\n" if b"\r\n" in text.partition(b"\n")[0] + b"\n" else b"\n"
        head, _, body = text.partition(newline * 2)
        line, _, headers = head.partition(newline)
        words = line.decode("ascii", "replace").split()
        path = words[1].partition("?")[0].rstrip("/") if len(words) > 1 else ""
        if words[:1] != ["POST"] or not path.startswith("/webhooks/") or path.count("/") > 3:
            raise ValueError("the first line must be like: POST /webhooks/PROVIDER/TOPIC HTTP/1.1")
        return cls(path, BytesHeaderParser().parsebytes(headers), body)

    @property
    def provider(self) -> str:
        """The path's segment after /webhooks."""
        return self._segment(2)

    @property
    def topic(self) -> str | None:
        """The path's segment after the provider."""
        return self._segment(3) or None

    def header(self, name: str) -> str:
        """Return a header's value."""
        return str(self.headers.get(name, ""))

    def _segment(self, index: int) -> str:
        return dict(enumerate(self.path.split("/"))).get(index, "")
