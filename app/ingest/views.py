"""The webhooks: one route for every provider."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial

from flask import Blueprint, Response, request
from werkzeug.exceptions import NotFound

from app.ingest.bodies import read_body
from app.ingest.canaries import CanaryDoor
from app.ingest.intake import Door
from app.ingest.room import Room


class _Request:
    """What a provider's authentication sees of the request at hand."""

    def __init__(self, topic: str | None, read: Callable[[], bytes]) -> None:
        self.topic = topic
        self._read = read
        self._body: bytes | None = None

    def header(self, name: str) -> str:
        """Return a header's value."""
        return request.headers.get(name, "")

    @property
    def body(self) -> bytes:
        """Read the body, once; before Python 3.12 a cached_property would have all requests wait for each other."""
        if self._body is None:
            self._body = self._read()
        return self._body


def webhooks(doors: Mapping[str, Door | CanaryDoor], body_limit_bytes: int) -> Blueprint:
    """Return the routes of all doors, by the first segment of their URLs."""
    blueprint = Blueprint("webhooks", __name__)
    room = Room()

    def receive(provider: str, topic: str | None = None) -> Response:
        door = doors.get(provider)
        if door is None or not door.leads_to(topic):
            raise NotFound
        with ExitStack() as held:
            receipt = door.receive(_Request(topic, partial(read_body, request, body_limit_bytes, room, held)))
        text = "{}" if receipt is None else f'{{"receipt": "{receipt}"}}'
        return Response(text, content_type="application/json")

    for rule in ("/webhooks/<provider>", "/webhooks/<provider>/<topic>"):
        # Without the options Flask would answer OPTIONS itself, and a slash at the end with a redirect.
        blueprint.add_url_rule(
            rule, view_func=receive, methods=["POST"], provide_automatic_options=False, strict_slashes=False
        )
    return blueprint
