"""An identity provider for tests, in a process of its own: the server of Authlib, by HTTPS, with PKCE and real tokens.

Its page asks for the name and the groups of an account each time; `fault` makes it do one thing wrong.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import ClientMixin, OAuth2Error
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oidc.core import OpenIDCode
from flask import Flask, redirect, request
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey
from joserfc.jws import JWSRegistry
from werkzeug.serving import make_server

from app.local.certificates import Authority
from app.tls import trusting
from tests.support.ports import free_port
from tests.support.servers import eventually, serving

CLIENT_ID, CLIENT_SECRET = "kvitto-console", "secret-of-the-console"
_FORM = """<!doctype html><title>Provider</title><h1>Provider</h1><form method="post">
<label>Account <input name="name"></label> <label>Groups <input name="groups"></label>
<label>Fault <input name="fault"></label> <button>Continue</button></form>"""
_KEY_ID = "of-the-provider"


@dataclass(frozen=True, slots=True)
class Account:
    """Who signed in, and what the provider does wrong."""

    name: str
    groups: list[str]
    fault: str

    @property
    def claims(self) -> dict[str, Any]:
        return {"sub": f"sub-{self.name}", "preferred_username": self.name, "groups": self.groups}


@dataclass(slots=True)
class Code:
    """A code that was issued, and what it is for."""

    account: Account
    redirect_uri: str
    scope: str
    nonce: str | None
    code_challenge: str
    code_challenge_method: str

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope

    def get_nonce(self) -> str | None:
        return self.nonce

    def get_auth_time(self) -> int:
        return int(time.time())

    def get_acr(self) -> None:
        return None

    def get_amr(self) -> None:
        return None


@dataclass(frozen=True, slots=True)
class Client(ClientMixin):
    """The console."""

    redirect_uri: str
    auth_method: str

    def get_client_id(self) -> str:
        return CLIENT_ID

    def get_default_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_allowed_scope(self, scope: Any) -> str:
        return str(scope)

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri == self.redirect_uri

    def check_client_secret(self, client_secret: str) -> bool:
        return client_secret == CLIENT_SECRET

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return (method, endpoint) == (self.auth_method, "token")

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "authorization_code"


class Signer:
    """Signs ID tokens, which are right but for the fault of an account."""

    def __init__(self, issuer: str) -> None:
        self._issuer = issuer
        self._key, self._other_key = (RSAKey.generate_key(2048, {"kid": _KEY_ID}) for _ in range(2))

    def public_keys(self) -> dict[str, Any]:
        of_another_kind = {"kty": "AKP", "kid": "of-the-future"}
        return {"keys": [of_another_kind, self._key.as_dict(private=False)]}

    def id_token(self, account: Account, nonce: str | None) -> str:
        now, fault = int(time.time()), account.fault
        claims = account.claims | {"iss": self._issuer, "aud": [CLIENT_ID], "iat": now, "exp": now + 300}
        wrong: dict[str, dict[str, Any]] = {
            "audience": {"aud": ["another-client"]},
            "second audience": {"aud": [CLIENT_ID, "another-client"], "azp": "another-client"},
            "issuer": {"iss": "https://another.test"},
            "expired": {"iat": now - 7200, "exp": now - 3600},
            "nonce": {"nonce": "of another sign-in"},
            "hash": {"at_hash": "of another token"},
        }
        claims |= {"nonce": nonce} | wrong.get(fault, {})
        lacks = {"no nonce": "nonce", "groups elsewhere": "groups"}.get(fault)
        claims = {name: value for name, value in claims.items() if name != lacks}
        if fault == "unsigned":
            return jwt.encode({"alg": "none"}, claims, OctKey.import_key("none"), ["none"])
        if fault == "secret":  # signed with what the client knows
            return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(CLIENT_SECRET), ["HS256"])
        registry = JWSRegistry(algorithms=["RS256"], strict_check_header=False)
        header = {"alg": "RS256", "kid": _KEY_ID, "of_this_provider": "1"}
        return jwt.encode(header, claims, self._other_key if fault == "signature" else self._key, registry=registry)


def _create_server(app: Flask, client: Client, signer: Signer, tokens: dict[str, Account]) -> AuthorizationServer:
    """Return the server of a client; it keeps which account has which access token in `tokens`."""
    codes: dict[str, Code] = {}

    class CodeGrant(AuthorizationCodeGrant):
        TOKEN_ENDPOINT_AUTH_METHODS = [client.auth_method]  # noqa: RUF012 - as its base class declares it

        def save_authorization_code(self, code: str, given: Any) -> None:
            data = given.payload.data
            codes[code] = Code(
                given.user, data["redirect_uri"], given.scope, data.get("nonce"), data["code_challenge"],
                data["code_challenge_method"],
            )  # fmt: skip

        def query_authorization_code(self, code: str, _client: Any) -> Code | None:
            return codes.get(code)

        def delete_authorization_code(self, authorization_code: Code) -> None:
            for code in [code for code, kept in codes.items() if kept is authorization_code]:
                del codes[code]

        def authenticate_user(self, authorization_code: Code) -> Account:
            return authorization_code.account

    class IdToken(OpenIDCode):
        def exists_nonce(self, _nonce: str, _request: Any) -> bool:
            return False

        def encode_id_token(self, _token: dict[str, Any], given: Any) -> str:
            return signer.id_token(given.user, given.authorization_code.nonce)

    server = AuthorizationServer(app, {CLIENT_ID: client}.get, partial(_keep_token, tokens))
    server.register_grant(CodeGrant, [CodeChallenge(required=True), IdToken(require_nonce=True)])
    return server


def _keep_token(tokens: dict[str, Account], token: dict[str, Any], given: Any) -> None:
    tokens[token["access_token"]] = given.user


def create_provider(issuer: str, redirect_uri: str, auth_method: str) -> Flask:
    """Return the provider as an app; `auth_method` is how its client proves itself."""
    app, signer = Flask(__name__), Signer(issuer)
    tokens: dict[str, Account] = {}
    server = _create_server(app, Client(redirect_uri, auth_method), signer, tokens)
    app.add_url_rule("/keys", view_func=signer.public_keys)

    @app.get("/.well-known/openid-configuration")
    def document() -> dict[str, Any]:
        return {
            "issuer": issuer,
            "authorization_endpoint": f"{issuer}/authorize?tenant=1",
            "token_endpoint": f"{issuer}/token",
            "userinfo_endpoint": f"{issuer}/userinfo",
            "jwks_uri": f"{issuer}/keys",
            "response_types_supported": ["code"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": [auth_method],
        }

    @app.route("/authorize", methods=["GET", "POST"])
    def authorize() -> Any:
        try:
            grant = server.get_consent_grant(end_user=None)  # type: ignore[no-untyped-call]
        except OAuth2Error as error:
            return f"refused: {error}", 400
        if request.method == "GET":
            return _FORM, 200, {"Content-Type": "text/html"}
        given = {name: request.form.get(name, "") for name in ("name", "groups", "fault")}
        account = Account(given["name"], given["groups"].split(), given["fault"])
        user = None if account.fault == "denied" else account
        answer: Any = server.create_authorization_response(grant_user=user, grant=grant)
        if account.fault == "code":
            return redirect(answer.location.replace("code=", "code=another-"))
        return answer

    @app.post("/token")
    def token() -> Any:
        return server.create_token_response()

    @app.get("/userinfo")
    def userinfo() -> dict[str, Any]:
        return tokens[request.headers["Authorization"].removeprefix("Bearer ")].claims

    return app


@dataclass(frozen=True, slots=True)
class Provider:
    """A running provider, and the settings of a console that people reach at `console`."""

    issuer: str
    console: str
    authority: str

    @property
    def settings(self) -> dict[str, str]:
        return {
            "CONSOLE_URL": self.console,
            "OIDC_ISSUER": self.issuer,
            "OIDC_CLIENT_ID": CLIENT_ID,
            "OIDC_CLIENT_SECRET": CLIENT_SECRET,
            "OIDC_ROLES": "operator=ops,viewer=support,privacy=dpo",
            "CA_FILE": self.authority,
        }


@contextmanager
def provider(folder: Path, auth_method: str = "client_secret_basic") -> Iterator[Provider]:
    """Run a provider, whose site differs from that of the console: `localhost`, and not 127.0.0.1."""
    authority, port, log = Authority(folder), free_port(), folder / "provider.log"
    certificate = authority.issue("provider")
    found = Provider(f"https://localhost:{port}", f"http://127.0.0.1:{free_port()}", str(authority.path))
    arguments = (found.issuer, f"{found.console}/login/oidc/callback", auth_method, certificate.chain, certificate.key)
    with serving([sys.executable, "-m", "tests.support.oidc_provider", *map(str, arguments)], log):
        eventually(lambda: _answers(found), "a provider", log=log)
        yield found


def _answers(found: Provider) -> bool:
    """Return whether this provider answers, and no other program at its port."""
    try:
        answer = httpx.get(f"{found.issuer}/.well-known/openid-configuration", verify=trusting(found.authority))
    except httpx.TransportError:
        return False
    return answer.is_success


if __name__ == "__main__":
    issuer, redirect_uri, method, chain, key = sys.argv[1:]
    app, port = create_provider(issuer, redirect_uri, method), int(issuer.rpartition(":")[2])
    make_server("127.0.0.1", port, app, threaded=True, ssl_context=(chain, key)).serve_forever()
