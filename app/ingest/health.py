"""Health of one edge process, for the load balancer.

A backlog never makes an edge unready: all edges would leave the balancer at once, and every rejected delivery is a lost
loan.
"""

from collections.abc import Callable

from flask import Blueprint, Response

from app.errors import StoreUnavailableError
from app.ingest.problem_details import Problem


def health(check_stores: Callable[[], None]) -> Blueprint:
    """Return /livez and /readyz. `check_stores` raises StoreUnavailableError if no delivery can be stored durably."""
    blueprint = Blueprint("health", __name__)

    @blueprint.get("/livez", provide_automatic_options=False)
    def livez() -> Response:
        return Response('{"alive": true}', content_type="application/json")

    @blueprint.get("/readyz", provide_automatic_options=False)
    def readyz() -> Response:
        try:
            check_stores()
        except StoreUnavailableError as error:
            return Problem(503, error.reason).to_response()
        return Response('{"ready": true}', content_type="application/json")

    return blueprint
