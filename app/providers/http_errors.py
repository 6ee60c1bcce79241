"""Errors of failed API calls, each with a hint. They quote the provider's own message without our secrets."""

import ssl
from collections.abc import Collection
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from app.errors import ProviderCallError

_MAX_TEXT_LENGTH = 200
# The wait after a 429 without Retry-After: providers count calls per minute.
_THROTTLED_SECONDS = 20.0
_UNDECIDED = "Whether it was done is not known: remove the subscription, and register it again"
# Keys under which an API explains an error, best first.
_MESSAGE_KEYS = ("message", "detail", "error_description", "title", "error")


def connection_error(error: httpx.TransportError, url: str, setting: str, repeatable: bool) -> ProviderCallError:
    """Return the error for a call without an answer."""
    host = httpx.URL(url).netloc.decode()
    if _is_untrusted_certificate(error):
        hint = f"Correct {setting}, or name a file with its authority's certificate in CA_FILE"
        return ProviderCallError("api-not-trusted", f"the certificate of {host} is not trusted", hint)
    kind = type(error).__name__
    if not repeatable and not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return ProviderCallError("api-silent", f"{host} gave no answer ({kind})", _UNDECIDED, undecided=True)
    hint = f"Correct {setting}, or try again once it answers"
    return ProviderCallError("api-silent", f"{host} does not answer ({kind})", hint, retry_after_seconds=0)


def status_error(
    answer: httpx.Response, setting: str, repeatable: bool, secrets: Collection[str], credentials: Collection[str]
) -> ProviderCallError:
    """Return the error for a status other than 2xx; `credentials` are the settings that hold the credentials."""
    status = answer.status_code
    message = _provider_message(answer, secrets)
    detail = f"{_host(answer)} answers {status}{f': {message}' if message else ''}"
    if status == 429:
        seconds = _retry_after(answer)
        hint = f"It takes no more calls for now; try again in {seconds:.0f} s"
        return ProviderCallError("api-throttled", detail, hint, status=status, retry_after_seconds=seconds)
    if status >= 500 and repeatable:
        hint = "Try again later; the fault is the provider's"
        return ProviderCallError("api-broken", detail, hint, status=status, retry_after_seconds=0)
    if status >= 500:
        return ProviderCallError("api-broken", detail, _UNDECIDED, status=status, undecided=True)
    if status == 401:
        return ProviderCallError("api-unauthorized", detail, f"Correct {' or '.join(credentials)}", status=status)
    if status < 400:
        return ProviderCallError("api-elsewhere", detail, f"Correct {setting}, which leads elsewhere", status=status)
    return ProviderCallError("api-refused", detail, f"Correct what was asked for, or {setting}", status=status)


def unreadable_error(answer: httpx.Response, setting: str, repeatable: bool) -> ProviderCallError:
    """Return the error for a successful answer that is not JSON."""
    detail = f"{_host(answer)} answers {answer.status_code} with something that is no JSON"
    hint = f"Correct {setting}, which leads elsewhere" if repeatable else _UNDECIDED
    return ProviderCallError("api-elsewhere", detail, hint, status=answer.status_code, undecided=not repeatable)


def redact(text: str, secrets: Collection[str]) -> str:
    """Return a text without secrets, on one line, cut to 200 characters."""
    for secret in secrets:
        text = text.replace(secret, "***")
    text = "".join(letter if letter.isprintable() else " " for letter in text)
    return text if len(text) <= _MAX_TEXT_LENGTH else text[:_MAX_TEXT_LENGTH] + "…"


def _is_untrusted_certificate(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _host(answer: httpx.Response) -> str:
    return answer.request.url.netloc.decode()


def _provider_message(answer: httpx.Response, secrets: Collection[str]) -> str:
    """Return the API's own message, redacted; empty if it gives none."""
    try:
        body = answer.json()
    except ValueError:
        return ""
    errors = body.get("errors") if isinstance(body, dict) else None  # some APIs list several
    body = errors[0] if isinstance(errors, list) and errors else body
    messages = [body[key] for key in _MESSAGE_KEYS if isinstance(body.get(key), str)] if isinstance(body, dict) else []
    return redact(messages[0], secrets).strip(" .") if messages else ""


def _retry_after(answer: httpx.Response) -> float:
    """Return the wait that the API asks for, in seconds; its header holds seconds or a date."""
    value = answer.headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        until = parsedate_to_datetime(value)
    except ValueError:
        return _THROTTLED_SECONDS
    return max(0.0, (until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
