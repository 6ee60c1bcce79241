"""Grants bearer tokens for client credentials, as OAuth 2 does (RFC 6749, 4.4)."""

from flask import Response, jsonify, make_response, request

from app.sandbox.api.bearer_tokens import SECONDS, BearerTokens, Clock

_SCOPE = "partners"


class OAuthTokens:
    """Tokens of one client, which is a pair of id and secret; several tokens are valid at once."""

    def __init__(self, client: tuple[str, str], clock: Clock) -> None:
        self._client = client
        self._tokens = BearerTokens(clock, alone=False)

    def grant(self) -> Response:
        """Answer a request for a token."""
        if _request_credentials() != self._client:
            return _error(401, "invalid_client")
        if request.form.get("grant_type") != "client_credentials":
            return _error(400, "unsupported_grant_type")
        if request.form.get("scope", _SCOPE) != _SCOPE:
            return _error(400, "invalid_scope")
        return jsonify(access_token=self._tokens.grant(), token_type="Bearer", expires_in=SECONDS, scope=_SCOPE)  # noqa: S106

    def is_authorized(self) -> bool:
        """Return whether the request carries a valid token."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        return scheme.lower() == "bearer" and self._tokens.check(token) == "valid"


def _request_credentials() -> tuple[str | None, str | None]:
    """Return the credentials of a request, from its header or else from its form."""
    header = request.authorization
    if header is not None and header.type == "basic":
        return header.username, header.password
    return request.form.get("client_id"), request.form.get("client_secret")


def _error(status: int, error: str) -> Response:
    return make_response(jsonify(error=error), status)
