"""The last audits in words."""

from app.storage import reports
from app.storage.connection import Connection

# Audits come every 30 s; a worker that drains a backlog may be late for a few.
_LATE_SECONDS = 180


def verdicts(connection: Connection) -> reports.Rows:
    """Return what each provider's last audit came to."""
    return [
        {"provider": row["provider"], "verdict": _verdict(row["missing"], row["accepted_loss"], row["seconds_ago"])}
        | {"audited_at": row["audited_at"]}
        for row in reports.audits(connection)
    ]


def _verdict(missing: int, accepted_loss: int, seconds_ago: float) -> str:
    verdict = "every delivery is accounted for"
    if missing:
        verdict = f"{missing} MISSING: run kvitto audit"
    elif accepted_loss:
        verdict = f"all accounted for but {accepted_loss} whose loss was accepted"
    late = seconds_ago > _LATE_SECONDS
    return f"{verdict}; NOT AUDITED for {seconds_ago / 60:.0f} min: do beat and workers run?" if late else verdict
