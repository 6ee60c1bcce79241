"""Builds the edge's Flask app."""

from functools import partial

from flask import Flask

from app.canary import message as canary
from app.crypto.sealing import SealingKeys
from app.errors import StoreUnavailableError
from app.inbox import client, wakeup
from app.inbox.stream import Inbox
from app.ingest.canary_receiver import CanaryReceiver
from app.ingest.circuit_breaker import CircuitBreaker, probe_postgres, probe_redis
from app.ingest.durable_store import DurableStore
from app.ingest.endpoint import WebhookEndpoint, nowhere
from app.ingest.health import health
from app.ingest.high_water_reporter import HighWaterReporter
from app.ingest.problem_details import answer_with_problems
from app.ingest.receiver import DeliveryReceiver
from app.providers import registry
from app.storage.pool import Pool
from config.environment import Environment
from config.settings import IngestSettings

# Of the 5 s that an answer may take, when one store after the other hangs; a ring has its own 0.3 s, and Redis' time
# counts for each reply: a new connection needs two.
_REDIS_SECONDS = 1.0
_POSTGRES_SECONDS = 1.5


def create_app(environment: Environment) -> Flask:
    """Return the edge; raises ConfigurationError with every fault in the environment."""
    settings = IngestSettings.read(environment)
    authentications = {name: registry.load_authentication(name, environment) for name in settings.providers}
    environment.check()

    redis = client.connect(settings.redis_url, _REDIS_SECONDS)
    inboxes = {name: Inbox(redis, name) for name in settings.providers}
    if settings.canary_secret:
        inboxes |= {canary.road(name): Inbox(redis, canary.road(name), canary.KEPT) for name in settings.providers}
    pool = Pool(settings.database_url, "ingest", _POSTGRES_SECONDS)
    watches = (
        CircuitBreaker(
            "redis", partial(probe_redis, redis, list(inboxes.values()), "redis" in settings.allow_non_durable)
        ),
        CircuitBreaker("postgres", partial(probe_postgres, pool, "postgres" in settings.allow_non_durable)),
    )
    for watch in watches:
        watch.start()
    tally = HighWaterReporter(pool)
    tally.start()
    seals = SealingKeys(settings.sealing_keys)
    bell = wakeup.WakeupPublisher(settings.broker_url)

    def stores(name: str, rings: str) -> DurableStore:
        return DurableStore(inboxes[name], pool, watches, tally, partial(bell.publish, rings))

    doors: dict[str, DeliveryReceiver | CanaryReceiver] = {
        name: DeliveryReceiver(name, found, seals, stores(name, rings=name))
        for name, found in authentications.items()
        if found is not None
    }
    if settings.canary_secret:
        roads = {name: stores(canary.road(name), rings=name) for name in settings.providers}
        doors[canary.PROVIDER] = CanaryReceiver(settings.canary_secret, seals, roads)
    app = Flask(__name__, static_folder=None)
    app.url_map.merge_slashes = False  # a doubled slash is a 404, not a redirect
    app.register_blueprint(nowhere())
    app.register_blueprint(health(partial(_check, *watches)))
    answer_with_problems(app)
    app.wsgi_app = WebhookEndpoint(app.wsgi_app, doors, settings.body_limit_bytes)  # type: ignore[method-assign]
    return app


def _check(first: CircuitBreaker, second: CircuitBreaker) -> None:
    """Raise StoreUnavailableError while neither store can keep a delivery."""
    try:
        first.check()
    except StoreUnavailableError:
        second.check()
