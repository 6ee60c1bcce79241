"""Writes the dashboards of Grafana: `python -m deploy.monitoring.dashboards`. Edit this file, not the JSON."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "grafana" / "dashboards"
_PROMETHEUS = {"type": "prometheus", "uid": "prometheus"}
_LEDGER = {"type": "grafana-postgresql-datasource", "uid": "ledger"}
_COLUMNS, _HEIGHT = 24, 8


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel. `queries` are PromQL, or SQL that Grafana's macros complete; each with its legend."""

    title: str
    description: str
    queries: Sequence[tuple[str, str]]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8
    sql: bool = False

    def to_json(self, number: int, x: int, y: int) -> dict[str, Any]:
        """Return the panel at a place of the grid."""
        source = _LEDGER if self.sql else _PROMETHEUS
        return {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.description,
            "datasource": source,
            "gridPos": {"x": x, "y": y, "w": self.width, "h": _HEIGHT},
            "fieldConfig": {"defaults": {"unit": self.unit, "min": 0}, "overrides": []},
            "targets": [
                {"refId": chr(ord("A") + index), "datasource": source, **self._target(query, legend)}
                for index, (query, legend) in enumerate(self.queries)
            ],
        }

    def _target(self, query: str, legend: str) -> dict[str, Any]:
        if self.sql:
            return {"rawSql": query, "rawQuery": True, "format": "time_series" if legend == "time" else "table"}
        return {"expr": query, "legendFormat": legend}


def _rate(metric: str, by: str, where: str = "") -> str:
    return f"sum by ({by}) (rate({metric}{where}[$__rate_interval]))"


def _quantile(quantile: float, metric: str) -> str:
    return f"histogram_quantile({quantile}, {_rate(f'{metric}_bucket', 'provider, le')})"


INGEST_HEALTH = (
    Panel(
        "Accepted", "Deliveries that were answered 200, a second.",
        [(_rate("kvitto_webhook_requests_total", "provider", '{status="200", reason="accepted"}'), "{{provider}}")],
        "reqps",
    ),
    Panel(
        "Rejected", "Requests answered 401 or 404, a second. A burst: a secret or an address is wrong.",
        [
            (
                _rate("kvitto_webhook_requests_total", "provider, reason", '{status=~"401|404"}'),
                "{{provider}} {{reason}}",
            )
        ],
        "reqps",
    ),
    Panel(
        "Not stored or not received", "Requests answered 503, a second. The provider tries again.",
        [(_rate("kvitto_webhook_requests_total", "provider, reason", '{status="503"}'), "{{provider}} {{reason}}")],
        "reqps",
    ),
    Panel(
        "Answer", "Time from the whole body to the answer: median, and the slowest hundredth.",
        [
            (_quantile(0.5, "kvitto_webhook_request_duration_seconds"), "{{provider}} p50"),
            (_quantile(0.99, "kvitto_webhook_request_duration_seconds"), "{{provider}} p99"),
        ],
        "s",
    ),
    Panel(
        "Receipt to row", "Time from a delivery's receipt to its row in the ledger.",
        [
            (_quantile(0.5, "kvitto_receipt_to_row_seconds"), "{{provider}} p50"),
            (_quantile(0.99, "kvitto_receipt_to_row_seconds"), "{{provider}} p99"),
        ],
        "s",
    ),
    Panel(
        "Claim to store", "Time that a worker takes for a batch.",
        [(_quantile(0.99, "kvitto_claim_to_store_seconds"), "{{provider}} p99")],
        "s",
    ),
    Panel(
        "Waiting", "Deliveries in Redis and in the overflow that no worker has stored yet.",
        [
            ("max by (provider) (kvitto_inbox_entries)", "{{provider}} inbox"),
            ("max by (provider) (kvitto_overflow_entries)", "{{provider}} overflow"),
        ],
    ),
    Panel(
        "Behind", "Age of the oldest delivery that waits, and of the time up to which the ledger is complete.",
        [
            ("max by (provider) (kvitto_inbox_oldest_seconds)", "{{provider}} inbox"),
            ("max by (provider) (kvitto_overflow_oldest_seconds)", "{{provider}} overflow"),
            ("max by (provider) (kvitto_ledger_lag_seconds)", "{{provider}} ledger"),
        ],
        "s",
    ),
    Panel(
        "Overflow", "Deliveries stored in Postgres instead of Redis, a second, by the reason.",
        [(_rate("kvitto_overflow_deliveries_total", "provider, reason"), "{{provider}} {{reason}}")],
        "reqps",
    ),
    Panel(
        "Processed", "Deliveries that workers stored, a second, by outcome.",
        [(_rate("kvitto_deliveries_processed_total", "provider, outcome"), "{{provider}} {{outcome}}")],
        "reqps",
    ),
    Panel(
        "Canary", "Time that the newest canary took along the whole path.",
        [("max by (provider) (kvitto_canary_duration_seconds)", "{{provider}}")],
        "s",
    ),
    Panel(
        "Missing", "Accepted deliveries that the last audit could not account for. Anything but 0 is a loss.",
        [("max by (provider) (kvitto_audit_missing_entries)", "{{provider}}")],
        kind="stat",
    ),
    Panel(
        "Memory of Redis", "What Redis uses, and where it refuses writes.",
        [
            ("max(kvitto_redis_memory_used_bytes)", "used"),
            ("max(kvitto_redis_memory_limit_bytes)", "limit"),
        ],
        "bytes",
    ),
    Panel("Ledger", "Size of the database on disk.", [("max(kvitto_ledger_bytes)", "ledger")], "bytes"),
    Panel(
        "Memory of processes", "Resident memory of each process of Kvitto.",
        [("sum by (service, process) (process_resident_memory_bytes{job=\"kvitto\"})", "{{service}} {{process}}")],
        "bytes",
    ),
    Panel(
        "Credentials", "Deliveries that each token, secret and key authenticated or opened, a second.",
        [(_rate("kvitto_credential_uses_total", "provider, credential"), "{{provider}} {{credential}}")],
        "reqps",
    ),
)  # fmt: skip


def _sql(title: str, description: str, query: str, kind: str = "table", unit: str = "short") -> Panel:
    legend = "time" if kind == "timeseries" else ""
    return Panel(title, description, [(" ".join(query.split()), legend)], unit, kind, sql=True)


def _by_day(title: str, description: str, figures: dict[str, str], view: str, unit: str = "short") -> Panel:
    """Return a panel of figures by Swedish day. Days of a time zone are slow to compute, so hours are counted first."""
    hourly = ", ".join(f"{figure} AS {name}" for name, figure in figures.items())
    daily = ", ".join(f"sum({name})::double precision AS {name}" for name in figures)
    query = f"""SELECT date_trunc('day', hour, 'Europe/Stockholm') AS time, {daily}
        FROM (SELECT date_bin('1 hour', first_received_at, 'epoch') AS hour, {hourly}
              FROM reporting.{view} WHERE $__timeFilter(first_received_at) GROUP BY 1) AS hourly
        GROUP BY 1 ORDER BY 1"""  # noqa: S608 - the parts are below
    return _sql(title, description, query, "timeseries", unit)


LOAN_PIPELINE = (
    _by_day(
        "Applications a day", "Applications by the Swedish day on which they were made.",
        {"applications": "count(*)"}, "kompar_applications",
    ),
    _by_day(
        "Amounts a day", "Sum of the amounts applied for, in kronor.",
        {"kronor": "sum(amount)"}, "kompar_applications", "currencySEK",
    ),
    _by_day(
        "Decisions a day", "Decisions of clients by the day of the first one, as they stand now.",
        {"accepted": "count(*) FILTER (WHERE accepted)", "declined": "count(*) FILTER (WHERE NOT accepted)"},
        "kompar_decisions",
    ),
    _sql(
        "Purposes", "Applications and amounts by purpose, most frequent first.",
        """SELECT coalesce(purpose, 'not stated') AS purpose, count(*) AS applications, sum(amount)::bigint AS kronor
           FROM reporting.kompar_applications WHERE $__timeFilter(first_received_at)
           GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 20""",
    ),
    _sql(
        "Companies", "Applications by legal form of the company.",
        """SELECT coalesce(company_type, 'not stated') AS company_type, count(*) AS applications,
                  round(avg(amount)) AS mean_kronor
           FROM reporting.kompar_applications WHERE $__timeFilter(first_received_at)
           GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 20""",
    ),
    _sql(
        "Acceptance", "Share of the decisions of clients that accept, as they stand now.",
        """SELECT count(*) FILTER (WHERE accepted)::double precision / nullif(count(accepted), 0) AS accepted
           FROM reporting.kompar_decisions WHERE $__timeFilter(first_received_at)""",
        "stat", "percentunit",
    ),
    _sql(
        "Time to decision",
        "Time from an application to its first decision, of the 10,000 newest ones: median, and the slowest tenth.",
        """SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds) AS median,
                  percentile_cont(0.9) WITHIN GROUP (ORDER BY seconds) AS p90
           FROM (SELECT extract(epoch FROM time_to_first_decision) AS seconds FROM reporting.kompar_funnel
                 WHERE $__timeFilter(first_decided_at) AND applied_at IS NOT NULL
                 ORDER BY first_decided_at DESC LIMIT 10000) AS newest""",
        "stat", "s",
    ),
    _sql(
        "Revisions", "Applications by how often they were changed.",
        """SELECT revision AS revisions, count(*) AS applications
           FROM reporting.kompar_applications WHERE $__timeFilter(first_received_at) GROUP BY 1 ORDER BY 1""",
    ),
    _sql(
        "Flags", "What is doubtful about applications, by quality flag.",
        """SELECT flag, count(*) AS applications FROM reporting.kompar_application_flags
           WHERE $__timeFilter(first_received_at) GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 20""",
    ),
)  # fmt: skip


def dashboard(uid: str, title: str, panels: Sequence[Panel], since: str) -> dict[str, Any]:
    """Return a dashboard whose panels fill rows from the left."""
    return {
        "uid": uid,
        "title": title,
        "tags": ["kvitto"],
        "timezone": "browser",
        "schemaVersion": 39,
        "editable": False,
        "refresh": "30s",
        "time": {"from": since, "to": "now"},
        "panels": list(_places(panels)),
    }


def _places(panels: Sequence[Panel]) -> Iterator[dict[str, Any]]:
    x = y = 0
    for number, panel in enumerate(panels, start=1):
        if x + panel.width > _COLUMNS:
            x, y = 0, y + _HEIGHT
        yield panel.to_json(number, x, y)
        x += panel.width


def dashboards() -> dict[str, str]:
    """Return the dashboards as JSON, by the names of their files."""
    found = {
        "ingest-health.json": dashboard("kvitto-ingest", "Ingest health", INGEST_HEALTH, "now-3h"),
        "loan-pipeline.json": dashboard("kvitto-loans", "Loan pipeline", LOAN_PIPELINE, "now-30d"),
    }
    return {name: json.dumps(content, indent=2, ensure_ascii=False) + "\n" for name, content in found.items()}


def main() -> None:
    """Write the dashboards."""
    for name, text in dashboards().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
