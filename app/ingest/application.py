"""Builds the edge's Flask app."""

from functools import partial

from flask import Flask

from app import canary, doorbell, providers
from app.crypto.sealing import SealingKeys
from app.errors import Unavailable
from app.inbox import Inbox, server
from app.ingest.canaries import CanaryDoor
from app.ingest.health import health
from app.ingest.intake import Door
from app.ingest.looks import look_at_postgres, look_at_redis
from app.ingest.problems import answer_with_problems
from app.ingest.stores import Stores
from app.ingest.tally import Tally
from app.ingest.watch import Watch
from app.ingest.webhooks import Webhooks, nowhere
from app.storage.pool import Pool
from config.environment import Environment
from config.settings import IngestSettings

# Of the 5 s that an answer may take, when one store after the other hangs; a ring has its own 0.3 s, and Redis' time
# counts for each reply: a new connection needs two.
_REDIS_SECONDS = 1.0
_POSTGRES_SECONDS = 1.5


def create_app(environment: Environment) -> Flask:
    """Return the edge; raises Misconfigured with every fault in the environment."""
    settings = IngestSettings.read(environment)
    authentications = {name: providers.load_authentication(name, environment) for name in settings.providers}
    environment.check()

    redis = server.connect(settings.redis_url, _REDIS_SECONDS)
    inboxes = {name: Inbox(redis, name) for name in settings.providers}
    if settings.canary_secret:
        inboxes |= {canary.road(name): Inbox(redis, canary.road(name), canary.KEPT) for name in settings.providers}
    pool = Pool(settings.database_url, "ingest", _POSTGRES_SECONDS)
    watches = (
        Watch("redis", partial(look_at_redis, redis, list(inboxes.values()), settings.loss_accepted)),
        Watch("postgres", partial(look_at_postgres, pool, settings.loss_accepted)),
    )
    for watch in watches:
        watch.start()
    tally = Tally(pool)
    tally.start()
    seals = SealingKeys(settings.sealing_keys)
    bell = doorbell.Bell(settings.broker_url)

    def stores(name: str, rings: str) -> Stores:
        return Stores(inboxes[name], pool, watches, tally, partial(bell.ring, rings))

    doors: dict[str, Door | CanaryDoor] = {
        name: Door(name, found, seals, stores(name, rings=name))
        for name, found in authentications.items()
        if found is not None
    }
    if settings.canary_secret:
        roads = {name: stores(canary.road(name), rings=name) for name in settings.providers}
        doors[canary.PROVIDER] = CanaryDoor(settings.canary_secret, seals, roads)
    app = Flask(__name__, static_folder=None)
    app.url_map.merge_slashes = False  # a doubled slash is a 404, not a redirect
    app.register_blueprint(nowhere())
    app.register_blueprint(health(partial(_check, *watches)))
    answer_with_problems(app)
    app.wsgi_app = Webhooks(app.wsgi_app, doors, settings.body_limit_bytes)  # type: ignore[method-assign]
    return app


def _check(first: Watch, second: Watch) -> None:
    """Raise Unavailable while neither store can keep a delivery."""
    try:
        first.check()
    except Unavailable:
        second.check()
