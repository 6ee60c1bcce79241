"""A provider's API: calls with time-outs, tried again where that is safe, whose failures are told in plain words."""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt

from app.errors import ProviderCallError
from app.providers.api_address import ApiAddress
from app.providers.http_errors import of_answer, of_silence, unreadable, without
from app.tls import LOOPBACK_DIRECT, trusting

Tell = Callable[[str], None]

# A provider may try the receiver's URL before it answers, and gives that up to 30 s.
_TIMEOUT_SECONDS = 45.0
_CONNECT_SECONDS = 10.0
_TRIES = 4
_LONGEST_WAIT_SECONDS = 120.0
_FIRST_WAIT_SECONDS = 0.5
# To do these twice is to do them once.
_IDEMPOTENT = frozenset({"GET", "DELETE"})


class ProviderApi:
    """One API. `credentials` are secrets by their settings, told by those alone; `tell` hears of every wait."""

    def __init__(
        self, address: ApiAddress, credentials: Mapping[str, str], tell: Tell, timeout_seconds: float = _TIMEOUT_SECONDS
    ) -> None:
        self._address = address
        self._credentials = tuple(credentials)
        self._secrets = {secret for secret in credentials.values() if secret}
        self._tell = tell
        self._timeout = httpx.Timeout(timeout_seconds, connect=_CONNECT_SECONDS)

    @property
    def url(self) -> str:
        """Its base URL."""
        return self._address.url

    def call(self, method: str, path: str, repeatable: bool | None = None, **request: Any) -> Any:
        """Make a call and return the JSON of its answer, None if that is empty; `request` is what httpx takes.

        Tried again is what never reached the API, what it turned away for now (429), and any failure of its own if the
        call is repeatable, by default GET and DELETE; a few times, after two minutes at most.

        Raises:
            ProviderCallError: It was refused, or no answer of use came.
        """
        retrying = Retrying(
            retry=retry_if_exception(_helps),
            wait=_seconds,
            stop=stop_after_attempt(_TRIES),
            before_sleep=self._tell_wait,
            reraise=True,
        )
        return retrying(self._try, method, path, method in _IDEMPOTENT if repeatable is None else repeatable, request)

    def token(self, method: str, path: str, name: str, **request: Any) -> str:
        """Make the call that grants a token; return what its answer has under `name`, from now on a secret."""
        granted = self.call(method, path, repeatable=True, **request)
        found = granted.get(name) if isinstance(granted, dict) else None
        if not isinstance(found, str) or not found:
            raise self.unexpected(f"no {name!r} in its answer")
        self._secrets.add(found)
        return found

    def unexpected(self, told: str, undecided: bool = False) -> ProviderCallError:
        """Return the failure of an API that answers what it should not."""
        mend = f"Correct {self._address.setting}, or ask the provider"
        detail = f"{self._client.base_url.netloc.decode()}: {told}"
        return ProviderCallError("api-unexpected", without(detail, self._secrets), mend, undecided=undecided)

    def close(self) -> None:
        """Close the connections."""
        if "_client" in self.__dict__:
            self._client.close()

    @cached_property
    def _client(self) -> httpx.Client:
        """Made when it is first needed: settings are checked together, before that."""
        address = self._address
        verify = trusting(address.authority)
        return httpx.Client(base_url=address.url, timeout=self._timeout, verify=verify, mounts=LOOPBACK_DIRECT)

    def _try(self, method: str, path: str, repeatable: bool, request: dict[str, Any]) -> Any:
        try:
            answer = self._client.request(method, path, **request)
        except httpx.TransportError as error:
            raise of_silence(error, self._address.url, self._address.setting, repeatable) from error
        if not answer.is_success:
            raise of_answer(answer, self._address.setting, repeatable, self._secrets, self._credentials)
        try:
            return answer.json() if answer.content else None
        except ValueError as error:
            raise unreadable(answer, self._address.setting, repeatable) from error

    def _tell_wait(self, state: RetryCallState) -> None:
        if (failed := _failure(state)) and state.next_action:
            self._tell(f"{failed.detail}; next try in {state.next_action.sleep:.1f} s")


def _helps(error: BaseException) -> bool:
    """Tell whether another try may help, and soon enough."""
    return (
        isinstance(error, ProviderCallError)
        and error.retry_after_seconds is not None
        and error.retry_after_seconds <= _LONGEST_WAIT_SECONDS
    )


def _seconds(state: RetryCallState) -> float:
    """Return how long to wait: what was asked for, or else twice as long each time."""
    failed = _failure(state)
    backed_off: float = _FIRST_WAIT_SECONDS * 2 ** (state.attempt_number - 1)
    return max(failed.retry_after_seconds or 0 if failed else 0, backed_off)


def _failure(state: RetryCallState) -> ProviderCallError | None:
    error = state.outcome.exception() if state.outcome else None
    return error if isinstance(error, ProviderCallError) else None
