"""The tasks. They carry no delivery: losing one, or running it twice, costs or saves a moment only."""

from workers import lifecycle
from workers.celery import app


@app.task(name="drain")
def drain(provider: str) -> None:
    """Empty the provider's inbox: someone rang."""
    lifecycle.station(provider).drain()


@app.task(name="sweep")
def sweep(provider: str) -> None:
    """Empty the provider's inbox whether or not someone rang."""
    lifecycle.station(provider).sweep()
