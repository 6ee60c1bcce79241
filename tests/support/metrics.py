"""Reads metrics: as the console reads them at a scrape, and as a process serves them."""

from collections.abc import Iterable
from urllib.request import Request, urlopen

from prometheus_client import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from app.console.metrics import registry
from config.settings import ConsoleSettings

NO_REDIS = "redis://127.0.0.1:1/0"


def console_settings(database: str, redis: str = NO_REDIS, **more: str) -> ConsoleSettings:
    """Return the settings of a console on these servers, with more settings."""
    return ConsoleSettings.load({"DATABASE_URL": database, "REDIS_URL": redis, "CONSOLE_PASSWORD": "secret"} | more)


def console_metrics(database: str, redis: str = NO_REDIS, **more: str) -> str:
    """Return what the console reads from these servers at a scrape."""
    return generate_latest(registry(console_settings(database, redis, **more))).decode()


def scrape(address: str, accept: str = "text/plain") -> str:
    """Return what a process serves at host:port."""
    with urlopen(Request(f"http://{address}/metrics", headers={"Accept": accept}), timeout=10) as answer:
        return str(answer.read().decode())


def families(text: str) -> dict[str, Metric]:
    """Return the metrics of a text by their names; those of counters without _total."""
    return {family.name: family for family in text_string_to_metric_families(text)}


def sample(text: str, name: str, **labels: str) -> float | None:
    """Return the sum of the samples of this name that have these labels; None without one."""
    samples = (each for family in families(text).values() for each in family.samples if each.name == name)
    values = [each.value for each in samples if labels.items() <= each.labels.items()]
    return sum(values) if values else None


def names(metrics: Iterable[Metric]) -> set[str]:
    """Return the names as PromQL writes them, of histograms without their suffixes."""
    return {f"{metric.name}_total" if metric.type == "counter" else metric.name for metric in metrics}
