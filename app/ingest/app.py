"""Builds the edge: a WSGI fast path for webhooks in front of a Flask app.

`WebhookEndpoint` answers every POST to a known webhook. Flask answers the rest: health, and every wrong path and
method. Flask's context and routing cost as much as everything else that a delivery needs: with the fast path the edge
reaches 0.67 times the rate of an empty Flask view (benchmarks/results/RESULTS.md).
"""

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
from app.ingest.endpoint import Receivers, WebhookEndpoint, unknown_webhooks
from app.ingest.health import health
from app.ingest.high_water_reporter import HighWaterReporter
from app.ingest.problem_details import register_error_handler
from app.ingest.receiver import DeliveryReceiver
from app.providers import registry
from app.storage.pool import Pool
from config.environment import Environment
from config.settings import IngestSettings

# An answer may take 5 s, even if both stores hang one after the other. Publishing a wake-up takes 0.3 s more. Redis'
# timeout counts per reply, and a new connection needs two.
_REDIS_TIMEOUT_SECONDS = 1.0
_POSTGRES_TIMEOUT_SECONDS = 1.5


def create_app(environment: Environment) -> Flask:
    """Return the edge; raises ConfigurationError with every fault in the environment."""
    settings = IngestSettings.read(environment)
    authentications = {name: registry.load_authentication(name, environment) for name in settings.providers}
    environment.check()

    redis = client.connect(settings.redis_url, _REDIS_TIMEOUT_SECONDS)
    pool = Pool(settings.database_url, "ingest", _POSTGRES_TIMEOUT_SECONDS)
    inboxes = {name: Inbox(redis, name) for name in settings.providers}
    canary_inboxes = {
        name: Inbox(redis, canary.inbox_name(name), canary.MAX_ENTRIES)
        for name in settings.providers
        if settings.canary_secret
    }
    all_inboxes = [*inboxes.values(), *canary_inboxes.values()]
    allowed = settings.allow_non_durable
    breakers = (
        CircuitBreaker("redis", partial(probe_redis, redis, all_inboxes, "redis" in allowed)),
        CircuitBreaker("postgres", partial(probe_postgres, pool, "postgres" in allowed)),
    )
    reporter = HighWaterReporter(pool)
    for background in (*breakers, reporter):
        background.start()
    publisher = wakeup.WakeupPublisher(settings.broker_url)

    def store(provider: str, inbox: Inbox) -> DurableStore:
        return DurableStore(inbox, pool, breakers, reporter, partial(publisher.publish, provider))

    keys = SealingKeys(settings.sealing_keys)
    receivers: Receivers = {
        name: DeliveryReceiver(name, authentication, keys, store(name, inboxes[name]))
        for name, authentication in authentications.items()
        if authentication is not None
    }
    if settings.canary_secret:
        canary_stores = {name: store(name, inbox) for name, inbox in canary_inboxes.items()}
        receivers[canary.PROVIDER] = CanaryReceiver(settings.canary_secret, keys, canary_stores)

    def check_stores() -> None:
        """Raise StoreUnavailableError while neither store can take a delivery."""
        redis_breaker, postgres_breaker = breakers
        try:
            redis_breaker.check()
        except StoreUnavailableError:
            postgres_breaker.check()

    app = Flask(__name__, static_folder=None)
    app.url_map.merge_slashes = False  # a doubled slash is a 404, not a redirect
    app.register_blueprint(unknown_webhooks())
    app.register_blueprint(health(check_stores))
    register_error_handler(app)
    app.wsgi_app = WebhookEndpoint(app.wsgi_app, receivers, settings.body_limit_bytes)  # type: ignore[method-assign]
    return app
