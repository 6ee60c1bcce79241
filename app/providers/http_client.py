"""Client of a provider's API: time-outs, retries where they are safe, and errors with a hint."""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt

from app.errors import ProviderCallError
from app.providers.api_address import ApiAddress
from app.providers.http_errors import connection_error, redact, status_error, unreadable_error
from app.tls import LOOPBACK_DIRECT, trusting

# Gets a text for every wait before a retry.
ReportWait = Callable[[str], None]

# A provider may call the receiver's URL before it answers, and gives that call up to 30 s.
_TIMEOUT_SECONDS = 45.0
_CONNECT_SECONDS = 10.0
_MAX_ATTEMPTS = 4
_MAX_WAIT_SECONDS = 120.0
_FIRST_WAIT_SECONDS = 0.5
_IDEMPOTENT = frozenset({"GET", "DELETE"})


class ProviderApi:
    """One API. `credentials` are its secrets by setting; errors and reports name the settings only."""

    def __init__(
        self,
        address: ApiAddress,
        credentials: Mapping[str, str],
        report: ReportWait,
        timeout_seconds: float = _TIMEOUT_SECONDS,
    ) -> None:
        self._address = address
        self._credentials = tuple(credentials)
        self._secrets = {secret for secret in credentials.values() if secret}
        self._report = report
        self._timeout = httpx.Timeout(timeout_seconds, connect=_CONNECT_SECONDS)

    @property
    def url(self) -> str:
        """The base URL."""
        return self._address.url

    def call(self, method: str, path: str, repeatable: bool | None = None, **request: Any) -> Any:
        """Make a call and return its JSON, None if the answer is empty. `request` takes httpx's options.

        Retried are calls that never reached the API or were throttled (429), and repeatable calls, by default GET and
        DELETE, after every failure of the API: four attempts at most, none later than two minutes after the last.

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
        hint = f"Correct {self._address.setting}, or ask the provider"
        detail = redact(f"{self._client.base_url.netloc.decode()}: {problem}", self._secrets)
        return ProviderCallError("api-unexpected", detail, hint, undecided=undecided)

    def close(self) -> None:
        """Close the connections."""
        if "_client" in self.__dict__:
            self._client.close()

    @cached_property
    def _client(self) -> httpx.Client:
        """Created at first use, which is after all settings were checked."""
        verify = trusting(self._address.authority)
        return httpx.Client(base_url=self.url, timeout=self._timeout, verify=verify, mounts=LOOPBACK_DIRECT)

    def _attempt(self, method: str, path: str, repeatable: bool, request: dict[str, Any]) -> Any:
        setting = self._address.setting
        try:
            answer = self._client.request(method, path, **request)
        except httpx.TransportError as error:
            raise connection_error(error, self.url, setting, repeatable) from error
        if not answer.is_success:
            raise status_error(answer, setting, repeatable, self._secrets, self._credentials)
        try:
            return answer.json() if answer.content else None
        except ValueError as error:
            raise unreadable_error(answer, setting, repeatable) from error

    def _report_wait(self, state: RetryCallState) -> None:
        if (error := _call_error(state)) and state.next_action:
            self._report(f"{error.detail}; next try in {state.next_action.sleep:.1f} s")


def _is_retryable(error: BaseException) -> bool:
    """Return whether a retry is safe and may succeed soon enough."""
    return (
        isinstance(error, ProviderCallError)
        and error.retry_after_seconds is not None
        and error.retry_after_seconds <= _MAX_WAIT_SECONDS
    )


def _wait_seconds(state: RetryCallState) -> float:
    """Return the longer of what the API asked for and a back-off that doubles with every attempt."""
    error = _call_error(state)
    backoff: float = _FIRST_WAIT_SECONDS * 2 ** (state.attempt_number - 1)
    return max(error.retry_after_seconds or 0 if error else 0, backoff)


def _call_error(state: RetryCallState) -> ProviderCallError | None:
    error = state.outcome.exception() if state.outcome else None
    return error if isinstance(error, ProviderCallError) else None
