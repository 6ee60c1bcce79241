"""Grants bearer tokens for a client's credentials, as OAuth 2 does (RFC 6749, 4.4)."""

from flask import Response, jsonify, request

from app.sandbox.api.tokens import SECONDS, Clock, Tokens

_SCOPE = "partners"


class ClientCredentials:
    """One client's: `client` is its id and its secret. Tokens live side by side."""

    def __init__(self, client: tuple[str, str], clock: Clock) -> None:
        self._client = client
        self._tokens = Tokens(clock, alone=False)

    def grant(self) -> Response:
        """Answer a request for a token."""
        if _given() != self._client:
            return _refusal(401, "invalid_client")
        if request.form.get("grant_type") != "client_credentials":
            return _refusal(400, "unsupported_grant_type")
        if request.form.get("scope", _SCOPE) != _SCOPE:
            return _refusal(400, "invalid_scope")
        return jsonify(access_token=self._tokens.grant(), token_type="Bearer", expires_in=SECONDS, scope=_SCOPE)  # noqa: S106

    def admits(self) -> bool:
        """Tell whether a request carries a token that counts."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        return scheme.lower() == "bearer" and self._tokens.judge(token) == "valid"


def _given() -> tuple[str | None, str | None]:
    """Return the credentials of a request, from its header or else from its form."""
    header = request.authorization
    if header is not None and header.type == "basic":
        return header.username, header.password
    return request.form.get("client_id"), request.form.get("client_secret")


def _refusal(status: int, error: str) -> Response:
    answer = jsonify(error=error)
    answer.status_code = status
    return answer
