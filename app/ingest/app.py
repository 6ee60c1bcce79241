"""Builds the edge: a fast path for webhooks in front of a Flask app.

`Edge` answers every POST to a known webhook in an event loop. Flask answers the rest in threads: health, and every
wrong path and method. Flask's context and routing cost as much as everything else that a delivery needs, and a thread
per request more than that (docs/decisions/0019-an-event-loop-answers-webhooks.md).
"""

import json
import threading
from collections.abc import Collection
from functools import partial

from flask import Flask, Response, request
from werkzeug.exceptions import NotFound

from app import metrics
from app.crypto.sealing import SealingKeys
from app.domain import canary
from app.inbox import client, wakeup
from app.inbox.stream import Inbox
from app.ingest.answer_reporter import AnswerReporter
from app.ingest.circuit_breaker import CircuitBreaker, CircuitBreakers, PostgresProbe, probe_redis
from app.ingest.credential_reporter import CredentialReporter
from app.ingest.durable_store import DurableStore
from app.ingest.edge import Edge, Receivers, count
from app.ingest.edge_secrets import EdgeSettings, SecretWatch
from app.ingest.fallback_reporter import FallbackReporter
from app.ingest.high_water_reporter import HighWaterReporter
from app.ingest.problem_details import Problem, to_problem
from app.ingest.receiver import CanaryReceiver, DeliveryReceiver
from app.ingest.rejection_reporter import RejectionReporter
from app.ingest.request_body import BodyReader
from app.storage.pool import Pool
from app.tracing import tracer
from config.secret_files import Rereading

# An answer may take 5 s, even if both stores hang one after the other, and for a large body what its size needs at
# each store. Publishing a wake-up takes 0.3 s more. Redis' timeout counts per reply, and a new connection needs two.
_REDIS_TIMEOUT_SECONDS = 1.0
_POSTGRES_TIMEOUT_SECONDS = 1.5


def create_edge(secrets: Rereading[EdgeSettings], draining: threading.Event) -> Edge:
    """Return the edge, which is unready while `draining` is set. It takes secrets that change from their files."""
    settings, authentications = secrets.value.ingest, secrets.value.authentications
    metrics.ingest_series(settings.providers)
    metrics.secret_series(secrets.files)
    for name, each in authentications.items():
        metrics.error_series(name, getattr(each, "rejections", ()))
        metrics.credential_series(name, getattr(each, "credentials", ()))

    redis = client.connect(settings.redis, _REDIS_TIMEOUT_SECONDS)
    pool = Pool(settings.database_url, "ingest", _POSTGRES_TIMEOUT_SECONDS)
    reporter = HighWaterReporter(pool, settings.providers, list(map(canary.inbox_name, settings.providers)))

    def inbox_of(name: str, max_entries: int | None = None) -> Inbox:
        return Inbox(redis, name, max_entries, settings.inbox_replicas, partial(reporter.clock.time_ms, name))

    inboxes = {name: inbox_of(name) for name in settings.providers}
    canary_inboxes = {
        name: inbox_of(canary.inbox_name(name), canary.MAX_ENTRIES)
        for name in settings.providers
        if settings.canary_secret
    }
    all_inboxes = [*inboxes.values(), *canary_inboxes.values()]
    exceptions, keeps_in_redis = settings.durability_exceptions, settings.durable_store == "redis"
    replicas = settings.inbox_replicas if keeps_in_redis else 0
    probe = PostgresProbe(pool, exceptions)
    breakers = CircuitBreakers(
        CircuitBreaker(
            "redis",
            partial(probe_redis, redis, all_inboxes, exceptions, replicas),
            partial(redis.connection_pool.disconnect, inuse_connections=False),
        ),
        CircuitBreaker("postgres", probe, probe.distrust),
        keeps_in_redis,
    )
    answer_reporter = AnswerReporter(pool)
    fallbacks = FallbackReporter(pool, breakers, settings.providers)
    keys = SealingKeys(settings.sealing_keys)
    rejections = RejectionReporter(pool, keys, settings.trusted_proxies)
    reporters = (reporter, answer_reporter, CredentialReporter(pool), fallbacks, rejections)
    for background in (breakers.redis, breakers.postgres, *reporters):
        background.start()
    publisher = wakeup.WakeupPublisher(settings.broker)

    def store(provider: str, inbox: Inbox) -> DurableStore:
        return DurableStore(inbox, pool, breakers, reporter, partial(publisher.publish, provider))

    traces = tracer.start("ingest", settings)
    receivers: Receivers = {
        name: DeliveryReceiver(authentication, keys, store(name, inboxes[name]), traces, answer_reporter.observe)
        for name, authentication in authentications.items()
    }
    if settings.canary_secret:
        metrics.error_series(canary.PROVIDER, CanaryReceiver.rejections)
        canary_stores = {name: store(name, inbox) for name, inbox in canary_inboxes.items()}
        receivers[canary.PROVIDER] = CanaryReceiver(settings.canary_secret, keys, canary_stores)

    SecretWatch(secrets, partial(_take, receivers, rejections)).start()
    flask = _flask_app(receivers.keys(), draining, breakers)
    bodies = BodyReader(settings.body_limit_bytes)
    return Edge(flask, receivers, bodies, rejections, draining)


def _take(receivers: Receivers, rejections: RejectionReporter, found: EdgeSettings) -> None:
    """Have requests authenticated and sealed with other secrets, from the next one on."""
    rejections.keys = keys = SealingKeys(found.ingest.sealing_keys)
    for name, receiver in receivers.items():
        receiver.keys = keys
        if isinstance(receiver, CanaryReceiver):
            receiver.secret = found.ingest.canary_secret
        else:
            receiver.authentication = found.authentications[name]
            metrics.credential_series(name, getattr(receiver.authentication, "credentials", ()))


def _flask_app(providers: Collection[str], draining: threading.Event, breakers: CircuitBreakers) -> Flask:
    """Return the Flask app: it answers the load balancer's health checks, and every other request with an error.

    A backlog never makes an edge unready: all edges would leave the balancer at once, and every rejected delivery is
    a lost loan.
    """
    app = Flask(__name__, static_folder=None)
    app.url_map.merge_slashes = False  # a doubled slash is a 404, not a redirect

    @app.errorhandler(Exception)
    def error_answer(error: Exception) -> Response:
        problem = to_problem(error, request.path, request.remote_addr or "")
        provider = request.path.removeprefix("/webhooks/").partition("/")[0]
        count(provider if provider in providers else "unknown", problem)
        return problem.to_response()

    @app.get("/livez", provide_automatic_options=False)
    def livez() -> Response:
        return Response('{"alive": true}', content_type="application/json")

    @app.get("/readyz", provide_automatic_options=False)
    def readyz() -> Response:
        if draining.is_set():
            return Problem(503, "draining").to_response()
        errors = [breaker.error() for breaker in breakers.durable]
        if None not in errors and (error := errors[-1]):
            return Problem(503, error.reason).to_response()
        problems = list(filter(None, [breakers.fallback()]))
        return Response(json.dumps({"ready": True, "problems": problems}), content_type="application/json")

    # No known webhook: 404 for a POST, 405 for other methods. By default Flask would answer OPTIONS itself, and
    # redirect a path with a trailing slash.
    @app.route("/webhooks/<provider>", methods=["POST"], provide_automatic_options=False, strict_slashes=False)
    @app.route("/webhooks/<provider>/<topic>", methods=["POST"], provide_automatic_options=False, strict_slashes=False)
    def unknown_webhook(**_segments: str) -> Response:
        raise NotFound

    return app
