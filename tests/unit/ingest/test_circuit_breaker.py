"""A circuit breaker: which store requests use, and since when they avoid one."""

from app.errors import StoreUnavailableError
from app.ingest.circuit_breaker import CircuitBreaker, CircuitBreakers


class Store:
    """A store whose probes and connections a test decides."""

    def __init__(self) -> None:
        self.error: StoreUnavailableError | None = None
        self.has_room = True
        self.disconnected = 0

    def probe(self) -> bool:
        if self.error:
            raise self.error
        return self.has_room

    def disconnect(self) -> None:
        self.disconnected += 1


def breaker_of(store: Store) -> CircuitBreaker:
    return CircuitBreaker("redis", store.probe, store.disconnect)


def reason(breaker: CircuitBreaker) -> str:
    avoided = breaker.avoided()
    return avoided[1] if avoided else ""


def test_failure_of_request_or_probe_disconnects() -> None:
    store = Store()
    breaker = breaker_of(store)
    breaker.probe()
    assert store.disconnected == 0
    breaker.open(StoreUnavailableError("redis-not-primary"))
    store.error = StoreUnavailableError("redis-unreachable")
    breaker.probe()
    assert store.disconnected == 2


def test_store_is_avoided_until_two_probes_in_a_row_succeed() -> None:
    """A store may accept probes and refuse every request."""
    store = Store()
    breaker = breaker_of(store)
    breaker.probe()
    assert reason(breaker) == ""
    for _ in range(2):
        breaker.open(StoreUnavailableError("redis-no-permission"))
        assert reason(breaker) == "redis-no-permission"
        breaker.probe()
        assert breaker.error() is None
        assert breaker.avoided() is not None
    breaker.probe()
    assert breaker.avoided() is None


def test_store_without_room_is_avoided() -> None:
    store = Store()
    store.has_room = False
    breaker = breaker_of(store)
    breaker.probe()
    assert reason(breaker) == "redis-slow-or-full"
    store.has_room = True
    breaker.probe()
    assert breaker.avoided() is None


def test_fallback_is_named_unless_postgres_is_the_durable_store() -> None:
    redis, postgres = breaker_of(Store()), breaker_of(Store())
    redis.open(StoreUnavailableError("redis-not-primary"))
    assert "(redis-not-primary)" in CircuitBreakers(redis, postgres).fallback(at_least_seconds=0)
    assert CircuitBreakers(redis, postgres).fallback() == ""
    assert CircuitBreakers(redis, postgres, keeps_in_redis=False).fallback(at_least_seconds=0) == ""
