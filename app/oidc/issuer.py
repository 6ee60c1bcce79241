"""The identity provider of OpenID Connect, as the console's client asks it.

Nothing is kept between two sign-ins: its document and its keys are read each time, so that other keys count at once.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn
from urllib.parse import quote_plus

import httpx
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from app.errors import SignInError
from app.oidc.id_token import Expected, read_keys, verify
from app.oidc.person import Person, has_claims, read_person
from app.oidc.transaction import Transaction
from app.tls import LOOPBACK_DIRECT, is_untrusted_certificate, trusting
from config.environment import ConfigurationError
from config.oidc import OidcSettings
from config.web_address import address_problem

CALLBACK_PATH = "/login/oidc/callback"
_DOCUMENT = "/.well-known/openid-configuration"
_ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")
# A person waits for the answers.
_SECONDS = 10.0
_ERROR = re.compile(r"[a-z_]{1,40}")
_ASK = "Try again later. If that fails, an administrator runs: kvitto check console"
_CORRECT = "An administrator asks the identity provider, or corrects OIDC_ISSUER"
# What an error of the token endpoint means, and what to do.
_HINTS = {
    "invalid_client": "An administrator corrects OIDC_CLIENT_ID and OIDC_CLIENT_SECRET",
    "unauthorized_client": "An administrator allows this client the authorization code flow at the identity provider",
    "invalid_grant": "Sign in again: the identity provider's code was used, or is too old",
}


class Issuer:
    """The identity provider of the settings. `authority` is a file with a CA to trust as well."""

    def __init__(self, settings: OidcSettings, authority: str) -> None:
        self._settings = settings
        self._authority = authority
        self._redirect_uri = settings.console_url + CALLBACK_PATH

    def check(self) -> None:
        """Read document and keys, and offer a code that cannot be valid; raises SignInError on any fault.

        A provider looks at the client's secret before it looks at the code.
        """
        with self._client() as client:
            document = self._document(client)
            read_keys(self._get(client, document["jwks_uri"]))
            try:
                self._redeem(client, document, "of-a-check", Transaction.begin())
            except SignInError as error:
                if error.hint != _HINTS["invalid_grant"]:
                    raise

    def authorization_url(self, transaction: Transaction) -> str:
        """Return where the browser goes for this sign-in; raises SignInError if the issuer gives no usable answer."""
        with self._client() as client:
            document = self._document(client)
        url = prepare_grant_uri(
            document["authorization_endpoint"],
            client_id=self._settings.client_id,
            response_type="code",
            redirect_uri=self._redirect_uri,
            scope=self._settings.scopes,
            state=transaction.state,
            nonce=transaction.nonce,
            code_challenge=create_s256_code_challenge(transaction.verifier),  # type: ignore[no-untyped-call]
            code_challenge_method="S256",
        )
        return str(url)

    def person(self, transaction: Transaction, code: str) -> Person:
        """Return who signed in, once a code came back; raises SignInError for each reason why nobody did."""
        with self._client() as client:
            document = self._document(client)
            tokens = self._redeem(client, document, code, transaction)
            id_token, access_token = (str(tokens.get(name, "")) for name in ("id_token", "access_token"))
            expected = Expected(document["issuer"], self._settings.client_id, transaction.nonce, access_token)
            claims = verify(id_token, read_keys(self._get(client, document["jwks_uri"])), expected)
            if not has_claims(claims, self._settings) and document.get("userinfo_endpoint"):
                headers = {"Authorization": f"Bearer {access_token}"}
                more = self._get(client, document["userinfo_endpoint"], headers)
                # Of the same person only; what the token says itself is signed, and counts.
                claims = (more if more.get("sub") == claims["sub"] else {}) | claims
        return read_person(claims, self._settings)

    @contextmanager
    def _client(self) -> Iterator[httpx.Client]:
        """Return a client, and explain why a call fails."""
        try:
            verification = trusting(self._authority)
        except ConfigurationError as error:
            (problem,) = error.faults
            hint = f"An administrator corrects it: {problem.hint}"
            raise SignInError("issuer-not-trusted", f"{problem.name} {problem.message}", hint) from error
        try:
            with httpx.Client(timeout=_SECONDS, verify=verification, mounts=LOOPBACK_DIRECT) as client:
                yield client
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            if is_untrusted_certificate(error):
                hint = "An administrator names a file with its authority in CA_FILE, or corrects OIDC_ISSUER"
                detail = "The certificate of the identity provider is not trusted"
                raise SignInError("issuer-not-trusted", detail, hint) from error
            detail = f"The identity provider does not answer ({type(error).__name__})"
            raise SignInError("issuer-silent", detail, _ASK) from error

    def _document(self, client: httpx.Client) -> dict[str, Any]:
        """Return the discovery document of the issuer, once it has what a sign-in needs."""
        document = self._get(client, self._settings.issuer.rstrip("/") + _DOCUMENT)
        if document.get("issuer") != self._settings.issuer:
            named = document.get("issuer")
            hint = "An administrator writes it into OIDC_ISSUER as it is there, with or without a slash at the end"
            is_address = isinstance(named, str) and address_problem(named) is None
            self._unfit(f"names {named if is_address else 'no address'} as its issuer", hint)
        for name in _ENDPOINTS:
            if problem := address_problem(str(document.get(name, ""))):
                self._unfit(f"{name} {problem}")
        # A provider that does not list methods may know PKCE nevertheless.
        if "S256" not in (document.get("code_challenge_methods_supported") or ["S256"]):
            self._unfit("it lacks PKCE with S256")
        return document

    @staticmethod
    def _unfit(problem: str, hint: str = _CORRECT) -> NoReturn:
        detail = f"The discovery document of the identity provider cannot be used: {problem}"
        raise SignInError("issuer-unfit", detail, hint)

    def _redeem(
        self, client: httpx.Client, document: Mapping[str, Any], code: str, transaction: Transaction
    ) -> dict[str, Any]:
        """Return what the token endpoint gives for a code."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect_uri,
            "code_verifier": transaction.verifier,
        }
        login = self._settings.client_id, self._settings.client_secret
        if "client_secret_basic" in (document.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]):
            # RFC 6749, 2.3.1: each half is encoded as in a form.
            answer = client.post(
                document["token_endpoint"], data=form, auth=(quote_plus(login[0]), quote_plus(login[1]))
            )
        else:
            form |= {"client_id": login[0], "client_secret": login[1]}
            answer = client.post(document["token_endpoint"], data=form)
        found = _json_object(answer)
        if answer.is_success and "error" not in found:
            return found
        error = str(found.get("error", ""))
        reason = error if _ERROR.fullmatch(error) else f"status {answer.status_code}"
        detail = f"The identity provider does not give a token ({reason})"
        raise SignInError("issuer-refused", detail, _HINTS.get(error, _ASK))

    @staticmethod
    def _get(client: httpx.Client, url: str, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Return the JSON object at an address of the issuer."""
        answer = client.get(url, headers=headers)
        found = _json_object(answer)
        if not answer.is_success or not found:
            path = httpx.URL(url).path
            detail = f"The identity provider answers {answer.status_code} at {path}, and not with a JSON object"
            raise SignInError("issuer-unfit", detail, _CORRECT)
        return found


def _json_object(answer: httpx.Response) -> dict[str, Any]:
    """Return the JSON object of an answer; empty if it is another thing."""
    try:
        found = answer.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
