"""Health of one edge process, for the balancer.

Never unready because of a backlog: every edge would be taken out at once, and a refusal is a lost loan.
"""

from collections.abc import Callable

from flask import Blueprint, Response

from app.errors import StoreUnavailableError
from app.ingest.problem_details import problem


def health(check: Callable[[], None]) -> Blueprint:
    """Return /livez and /readyz; `check` raises StoreUnavailableError while no delivery can be made durable."""
    blueprint = Blueprint("health", __name__)

    @blueprint.get("/livez", provide_automatic_options=False)
    def livez() -> Response:
        return Response('{"alive": true}', content_type="application/json")

    @blueprint.get("/readyz", provide_automatic_options=False)
    def readyz() -> Response:
        try:
            check()
        except StoreUnavailableError as error:
            return problem(503, error.reason)
        return Response('{"ready": true}', content_type="application/json")

    return blueprint
