"""The settings of traces: where they are sent, and of how many requests."""

from importlib.util import find_spec

from config.declarations import DEFAULTS
from config.environment import Environment


def otlp_endpoint(environment: Environment) -> str:
    """Return where traces are sent; empty if nothing is traced."""
    url = environment.url("OTEL_EXPORTER_OTLP_ENDPOINT", ("http", "https"), "")
    if url and find_spec("opentelemetry") is None:
        hint = "pip install 'kvitto[otel]', or remove the setting"
        environment.fault("OTEL_EXPORTER_OTLP_ENDPOINT", "needs opentelemetry, which is not installed", hint)
        return ""
    return url


def traced_share(environment: Environment) -> float:
    """Return the share of requests that are traced, from 0 to 1."""
    text = environment.text("OTEL_TRACES_SAMPLER_ARG", DEFAULTS["OTEL_TRACES_SAMPLER_ARG"])
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        environment.fault("OTEL_TRACES_SAMPLER_ARG", "is no share", "Write it like 0.01, for one request in a hundred")
    return share
