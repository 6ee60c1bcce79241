"""What failed calls of an API mean, each with its mend; a provider's words are quoted without our secrets."""

import ssl
from collections.abc import Collection
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from app.errors import ProviderCallError

_LONGEST_WORDS = 200
# If the API does not say for how long: calls are counted by the minute.
_THROTTLED_SECONDS = 20.0
_UNDECIDED = "Whether it was done is not known: remove the subscription, and register it again"
_WORDS = ("message", "detail", "error_description", "title", "error")


def of_silence(error: httpx.TransportError, url: str, setting: str, repeatable: bool) -> ProviderCallError:
    """Return what it means that no answer came."""
    host = httpx.URL(url).netloc.decode()
    if _is_distrust(error):
        mend = f"Correct {setting}, or name a file with its authority's certificate in CA_FILE"
        return ProviderCallError("api-not-trusted", f"the certificate of {host} is not trusted", mend)
    how = type(error).__name__
    if not repeatable and not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return ProviderCallError("api-silent", f"{host} gave no answer ({how})", _UNDECIDED, undecided=True)
    mend = f"Correct {setting}, or try again once it answers"
    return ProviderCallError("api-silent", f"{host} does not answer ({how})", mend, again_in=0)


def of_answer(
    answer: httpx.Response, setting: str, repeatable: bool, secrets: Collection[str], credentials: Collection[str]
) -> ProviderCallError:
    """Return what a status other than 2xx means; `credentials` are the settings that hold what it is asked with."""
    status = answer.status_code
    said = _words(answer, secrets)
    told = f"{_host(answer)} answers {status}{f': {said}' if said else ''}"
    if status == 429:
        seconds = _retry_after(answer)
        mend = f"It takes no more calls for now; try again in {seconds:.0f} s"
        return ProviderCallError("api-throttled", told, mend, status=status, again_in=seconds)
    if status == 401:
        return ProviderCallError("api-unauthorized", told, f"Correct {' or '.join(credentials)}", status=status)
    if status < 400:
        return ProviderCallError("api-elsewhere", told, f"Correct {setting}, which leads elsewhere", status=status)
    if status < 500:
        return ProviderCallError("api-refused", told, f"Correct what was asked for, or {setting}", status=status)
    if repeatable:
        return ProviderCallError(
            "api-broken", told, "Try again later; the fault is the provider's", status=status, again_in=0
        )
    return ProviderCallError("api-broken", told, _UNDECIDED, status=status, undecided=True)


def unreadable(answer: httpx.Response, setting: str, repeatable: bool) -> ProviderCallError:
    """Return what it means that a successful answer holds something else than JSON."""
    told = f"{_host(answer)} answers {answer.status_code} with something that is no JSON"
    mend = f"Correct {setting}, which leads elsewhere" if repeatable else _UNDECIDED
    return ProviderCallError("api-elsewhere", told, mend, status=answer.status_code, undecided=not repeatable)


def _is_distrust(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _host(answer: httpx.Response) -> str:
    return answer.request.url.netloc.decode()


def _words(answer: httpx.Response, secrets: Collection[str]) -> str:
    """Return what an answer says of itself: one line, not long, and none of our secrets."""
    try:
        found = answer.json()
    except ValueError:
        return ""
    errors = found.get("errors") if isinstance(found, dict) else None  # some list several
    found = errors[0] if isinstance(errors, list) and errors else found
    told = [found[name] for name in _WORDS if isinstance(found.get(name), str)] if isinstance(found, dict) else []
    return without((told or [""])[0], secrets).strip(" .")


def without(text: str, secrets: Collection[str]) -> str:
    """Return a text fit for telling: no secret, one line, not long."""
    for secret in secrets:
        text = text.replace(secret, "***")
    text = "".join(each if each.isprintable() else " " for each in text)
    return text if len(text) <= _LONGEST_WORDS else text[:_LONGEST_WORDS] + "…"


def _retry_after(answer: httpx.Response) -> float:
    """Return for how many seconds the API wants to be left alone."""
    given = answer.headers.get("Retry-After", "").strip()
    if given.isascii() and given.isdigit():
        return float(given)
    try:
        until = parsedate_to_datetime(given)
    except ValueError:
        return _THROTTLED_SECONDS
    return max(0.0, (until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
