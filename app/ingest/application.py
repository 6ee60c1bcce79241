"""Builds the edge's Flask app."""

from functools import partial

from celery import Celery
from flask import Flask
from redis import Redis

from app import doorbell, providers
from app.crypto.sealing import SealingKeys
from app.inbox import Inbox, server
from app.ingest.health import health
from app.ingest.intake import Door, Durability
from app.ingest.problems import answer_with_problems
from app.ingest.views import webhooks
from config.celery import publisher_settings
from config.environment import Environment
from config.settings import IngestSettings


def create_app(environment: Environment) -> Flask:
    """Return the edge; raises Misconfigured with every fault in the environment."""
    settings = IngestSettings.read(environment)
    authentications = {name: providers.load_authentication(name, environment) for name in settings.providers}
    environment.check()

    redis = server.connect(settings.redis_url)
    inboxes = {name: Inbox(redis, name) for name in settings.providers}
    durability = Durability(redis, list(inboxes.values()), settings.loss_accepted)
    seals = SealingKeys(settings.sealing_keys)
    celery = Celery("kvitto-edge", set_as_current=False)
    celery.conf.update(publisher_settings(settings.broker_url))
    doors = {
        name: Door(authentication, inboxes[name], seals, durability, partial(doorbell.ring, celery, name))
        for name, authentication in authentications.items()
        if authentication is not None
    }

    app = Flask(__name__, static_folder=None)
    app.url_map.merge_slashes = False  # a doubled slash is a 404, not a redirect
    app.register_blueprint(webhooks(doors, settings.body_limit_bytes))
    app.register_blueprint(health(partial(_check, redis, durability)))
    answer_with_problems(app)
    return app


def _check(redis: Redis, durability: Durability) -> None:
    server.ping(redis)
    durability.check()
