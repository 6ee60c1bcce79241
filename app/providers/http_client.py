"""Client of a provider's API: time-outs, retries where they are safe, and errors with a hint.

Errors quote the provider's own message without our secrets.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Any

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt

from app.errors import ProviderCallError
from app.tls import LOOPBACK_DIRECT, is_untrusted_certificate, trusting
from config.environment import Environment
from config.settings import trusted_authority

# Gets a text for every wait before a retry.
ReportWait = Callable[[str], None]

# How long an API may be silent. Solaris' may take 150 s: it calls the receiver's URL before it answers.
TIMEOUT_SECONDS = 160.0
_CONNECT_SECONDS = 10.0
_MAX_ATTEMPTS = 4
_MAX_WAIT_SECONDS = 120.0
_FIRST_WAIT_SECONDS = 0.5
# The wait after a 429 without Retry-After: providers count calls per minute.
_THROTTLED_SECONDS = 20.0
_IDEMPOTENT = frozenset({"GET", "DELETE"})
_MAX_TEXT_LENGTH = 200
_UNDECIDED = "Whether it was done is not known: remove the subscription, and register it again"
# Keys under which an API explains an error, best first.
_MESSAGE_KEYS = ("message", "detail", "error_description", "title", "error")


class ProviderApi:
    """One API, whose base URL is the value of `setting`. `authority` is a file with a CA to trust as well.

    `credentials` are its secrets by setting; errors and reports name the settings only.
    """

    def __init__(  # noqa: PLR0913 - the options are keywords
        self,
        setting: str,
        url: str,
        credentials: Mapping[str, str],
        report: ReportWait,
        *,
        authority: str = "",
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self.url = url
        self._setting = setting
        self._authority = authority
        self._credentials = " or ".join(credentials)
        self._secrets = {secret for secret in credentials.values() if secret}
        self._report = report
        self._timeout = httpx.Timeout(timeout_seconds, connect=_CONNECT_SECONDS)

    @classmethod
    def read(
        cls, environment: Environment, setting: str, default: str, credentials: Mapping[str, str], report: ReportWait
    ) -> "ProviderApi":
        """Read the setting, which must be an HTTPS address, and CA_FILE."""
        url = environment.url(setting, ("https",), default).rstrip("/")
        return cls(setting, url, credentials, report, authority=trusted_authority(environment))

    def call(self, method: str, path: str, repeatable: bool | None = None, **request: Any) -> Any:
        """Make a call and return its JSON, None if the answer is empty. `request` takes httpx's options.

        Retried are calls that never reached the API or were throttled (429), and repeatable calls, by default GET and
        DELETE, after every failure of the API but a long silence: four attempts at most, none later than two minutes
        after the last.

        Raises:
            ProviderCallError: The API refused the call, or gave no usable answer.
        """
        retrying = Retrying(
            retry=retry_if_exception(_is_retryable),
            wait=_wait_seconds,
            stop=stop_after_attempt(_MAX_ATTEMPTS),
            before_sleep=self._report_wait,
            reraise=True,
        )
        may_repeat = method in _IDEMPOTENT if repeatable is None else repeatable
        return retrying(self._attempt, method, path, may_repeat, request)

    def token(self, method: str, path: str, name: str, **request: Any) -> str:
        """Request a token; return the value of `name` in the answer, which is a secret from then on."""
        answer = self.call(method, path, repeatable=True, **request)
        token = answer.get(name) if isinstance(answer, dict) else None
        if not isinstance(token, str) or not token:
            raise self.unexpected(f"no {name!r} in its answer")
        self._secrets.add(token)
        return token

    def unexpected(self, problem: str, undecided: bool = False) -> ProviderCallError:
        """Return the error for an answer that does not follow the API's documentation."""
        hint = f"Correct {self._setting}, or ask the provider"
        return ProviderCallError("api-unexpected", self._redact(f"{self._host}: {problem}"), hint, undecided=undecided)

    def close(self) -> None:
        """Close the connections."""
        if "_client" in self.__dict__:
            self._client.close()

    @cached_property
    def _client(self) -> httpx.Client:
        """Created at first use, which is after all settings were checked."""
        verify = trusting(self._authority)
        return httpx.Client(base_url=self.url, timeout=self._timeout, verify=verify, mounts=LOOPBACK_DIRECT)

    @property
    def _host(self) -> str:
        return httpx.URL(self.url).netloc.decode()

    def _attempt(self, method: str, path: str, repeatable: bool, request: dict[str, Any]) -> Any:
        try:
            answer = self._client.request(method, path, **request)
        except httpx.TransportError as error:
            raise self._connection_error(error, repeatable) from error
        if not answer.is_success:
            raise self._status_error(answer, repeatable)
        try:
            return answer.json() if answer.content else None
        except ValueError as error:
            status = answer.status_code
            detail = f"{self._host} answers {status} with something that is no JSON"
            hint = f"Correct {self._setting}, which leads elsewhere" if repeatable else _UNDECIDED
            raise ProviderCallError("api-elsewhere", detail, hint, status=status, undecided=not repeatable) from error

    def _connection_error(self, error: httpx.TransportError, repeatable: bool) -> ProviderCallError:
        """Return the error for a call without an answer."""
        if is_untrusted_certificate(error):
            hint = f"Correct {self._setting}, or name a file with its authority's certificate in CA_FILE"
            return ProviderCallError("api-not-trusted", f"the certificate of {self._host} is not trusted", hint)
        kind = type(error).__name__
        if not repeatable and not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            return ProviderCallError("api-silent", f"{self._host} gave no answer ({kind})", _UNDECIDED, undecided=True)
        hint = f"Correct {self._setting}, or try again once it answers"
        # A connected API that was silent for so long is asked once: four times would take ten minutes.
        retry_after_seconds = None if isinstance(error, httpx.ReadTimeout) else 0
        detail = f"{self._host} does not answer ({kind})"
        return ProviderCallError("api-silent", detail, hint, retry_after_seconds=retry_after_seconds)

    def _status_error(self, answer: httpx.Response, repeatable: bool) -> ProviderCallError:
        """Return the error for a status other than 2xx."""
        status = answer.status_code
        message = self._redact(_provider_message(answer)).strip(" .")
        detail = f"{self._host} answers {status}{f': {message}' if message else ''}"
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
            return ProviderCallError("api-unauthorized", detail, f"Correct {self._credentials}", status=status)
        if status < 400:
            hint = f"Correct {self._setting}, which leads elsewhere"
            return ProviderCallError("api-elsewhere", detail, hint, status=status)
        hint = f"Correct what was asked for, or {self._setting}"
        return ProviderCallError("api-refused", detail, hint, status=status)

    def _redact(self, text: str) -> str:
        """Return a text without secrets, on one line, cut to 200 characters."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        text = "".join(letter if letter.isprintable() else " " for letter in text)
        return text if len(text) <= _MAX_TEXT_LENGTH else text[:_MAX_TEXT_LENGTH] + "…"

    def _report_wait(self, state: RetryCallState) -> None:
        self._report(f"{_error(state).detail}; next try in {state.upcoming_sleep:.1f} s")


def _is_retryable(error: BaseException) -> bool:
    """Return whether a retry is safe and may succeed soon enough."""
    seconds = error.retry_after_seconds if isinstance(error, ProviderCallError) else None
    return seconds is not None and seconds <= _MAX_WAIT_SECONDS


def _wait_seconds(state: RetryCallState) -> float:
    """Return the longer of what the API asked for and a back-off that doubles with every attempt."""
    backoff: float = _FIRST_WAIT_SECONDS * 2 ** (state.attempt_number - 1)
    return max(_error(state).retry_after_seconds or 0, backoff)


def _error(state: RetryCallState) -> Any:
    """Return the ProviderCallError of an attempt that is retried."""
    return state.outcome.exception() if state.outcome else None


def _provider_message(answer: httpx.Response) -> str:
    """Return the API's own message; empty if it gives none."""
    try:
        body = answer.json()
    except ValueError:
        return ""
    errors = body.get("errors") if isinstance(body, dict) else None  # some APIs list several
    body = errors[0] if isinstance(errors, list) and errors else body
    messages = [body[key] for key in _MESSAGE_KEYS if isinstance(body.get(key), str)] if isinstance(body, dict) else []
    return messages[0] if messages else ""


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
