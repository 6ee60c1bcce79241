"""Forecast: `python -m benchmarks.forecast` simulates 1, 4 and 16 hosts under the load of a day, and under a burst.

The service times are those that `benchmarks.scaling` measured last. Nothing is started; it takes half a minute.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import click

from benchmarks import scaling_tables
from benchmarks.result_files import Record
from benchmarks.scaling_model import Installation, ServiceTimes, Simulation, highest_rate
from benchmarks.scaling_tables import FORECAST_FILE, RATES_FILE

HOSTS, PROVIDERS = (1, 4, 16), (1, 4)
HOUR = 3600.0
# The share of each hour of a day, in percent: a quiet night, a peak before noon, and one in the evening.
DAY = (1, 1, 1, 1, 1, 2, 3, 4, 6, 7, 8, 8, 7, 6, 5, 5, 5, 5, 6, 6, 5, 4, 2, 1)
BURST_SECONDS = 60
# So many seconds of arrivals of a day are one event of the simulation: no lag is known better.
TICK_SECONDS = 6.0
_STRIDE = 12


def day(deliveries: int) -> Iterator[tuple[float, int]]:
    """Yield the arrivals of a day: seconds since midnight, and how many."""
    for hour, share in enumerate(DAY):
        yield from _evenly(hour * HOUR, HOUR, deliveries * share // sum(DAY))


def burst(deliveries: int) -> Iterator[tuple[float, int]]:
    """Yield the arrivals of a burst, in small steps: it is short."""
    return _evenly(0.0, BURST_SECONDS, deliveries, 0.25)


def _evenly(begin: float, seconds: float, number: int, step: float = TICK_SECONDS) -> Iterator[tuple[float, int]]:
    ticks = round(seconds / step)
    for tick in range(ticks):
        yield begin + tick * step, number * (tick + 1) // ticks - number * tick // ticks


def simulate(times: ServiceTimes, record: Record, of_a_day: int, of_a_burst: int) -> None:
    """Simulate each number of hosts and providers, and note what comes of it."""
    for hosts, providers in product(HOSTS, PROVIDERS):
        figure = scaling_tables.hosts_figure(hosts, providers)
        installation = Installation(hosts, providers=providers)
        rate, limit = highest_rate(times, installation)
        record.add(figure, "highest rate", rate, "/s")
        record.add(figure, f"limited by {limit}", 1, "")
        found = Simulation(times, replace(installation, stride=_STRIDE)).run(day(of_a_day))
        assert found.waiting == 0
        record.add(figure, "day, p99", found.lag(0.99), "s")
        record.add(figure, "day, longest", found.lag(1.0), "s")
        record.add(figure, "host-hours", hosts * max(24 * HOUR, found.stored_at) / HOUR, "h")
        record.add(figure, "host-hours in use", found.used / installation.cores / HOUR, "h")
        found = Simulation(times, installation).run(burst(of_a_burst))
        record.add(figure, "burst, longest", found.lag(1.0), "s")
        record.add(figure, "burst, stored after", found.stored_at, "s")


@click.command(epilog="Example: python -m benchmarks.forecast --day 300000000")
@click.option("--day", "of_a_day", type=int, default=150_000_000, show_default=True, help="Deliveries of a day.")
@click.option("--burst", "of_a_burst", type=int, default=1_000_000, show_default=True, help="Deliveries of a minute.")
@click.option(
    "--times",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=RATES_FILE,
    help="Results of benchmarks.scaling. Default: those that are kept.",
)
@click.option("--keep", is_flag=True, help="Keep the forecast, and write its table into docs/scaling.md.")
def main(of_a_day: int, of_a_burst: int, times: Path, keep: bool) -> None:
    """Simulate, and print the table."""
    measured = Record.read(times)
    record = Record(machine={"deliveries of a day": of_a_day, "deliveries of a burst": of_a_burst})
    simulate(scaling_tables.service_times(measured), record, of_a_day, of_a_burst)
    click.echo(scaling_tables.of_forecast(record))
    if keep:
        record.write(FORECAST_FILE)
        scaling_tables.write()


if __name__ == "__main__":
    main()
