"""Verifies an ID token: who signed it, and that it is for this sign-in."""

from typing import Any, NamedTuple

from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import ExpiredTokenError, InvalidClaimError, JoseError, MissingClaimError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry

from app.errors import SignInError

# Signatures by a key pair. HS256 would make the client's secret a key, and `none` is no signature.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
# How far the clocks of the issuer and of this machine may differ, in seconds.
_CLOCKS_DIFFER = 60
_REGISTRY = JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)  # some issuers add header fields
_HINT = "Sign in again. If that fails, an administrator compares OIDC_ISSUER and OIDC_CLIENT_ID with the provider"


def read_keys(document: Any) -> KeySet:
    """Return the issuer's keys; raises SignInError if there are none."""
    try:
        return KeySet.import_key_set(document)
    except (JoseError, ValueError, TypeError, KeyError) as error:
        hint = "An administrator asks the identity provider, or corrects OIDC_ISSUER"
        raise SignInError("issuer-unfit", "The keys of the identity provider cannot be read", hint) from error


class Expected(NamedTuple):
    """What a token must be about. `access_token` came with it."""

    issuer: str
    client_id: str
    nonce: str
    access_token: str


def verify(id_token: str, keys: KeySet, expected: Expected) -> dict[str, Any]:
    """Return the claims of a token that one of `keys` signed for this client and this sign-in.

    Raises:
        SignInError: Signature, issuer, audience, time, nonce or hash of the access token is wrong.
    """
    try:
        token = jwt.decode(id_token, keys, registry=_REGISTRY)
    except (JoseError, ValueError) as error:
        raise _invalid("its signature is not by a key of the identity provider") from error
    rules = {
        "iss": {"essential": True, "value": expected.issuer},
        "aud": {"essential": True, "values": [expected.client_id]},
        "sub": {"essential": True},
    }
    claims = CodeIDToken(token.claims, token.header, rules, expected._asdict())
    try:
        claims.validate(leeway=_CLOCKS_DIFFER)
    except ExpiredTokenError as error:
        raise _invalid("it has expired") from error
    except (InvalidClaimError, MissingClaimError) as error:
        raise _invalid(f"its claim {error.claim} is missing or wrong") from error
    return dict(claims)


def _invalid(problem: str) -> SignInError:
    return SignInError("id-token-invalid", f"The identity provider's token is not accepted: {problem}", _HINT)
