"""Each provider's last audit, kept for console and dashboards."""

from typing import Any

from app.storage.connection import Connection

# How often the log repeats that something is missing, while nothing about it changes.
_REPEAT_SECONDS = 300


def note(connection: Connection, account: dict[str, Any]) -> bool:
    """Keep an account, by the names of its columns; return whether the log has to say that something is missing."""
    row = connection.execute(
        """
        INSERT INTO audits AS kept (provider, audited_at, appended, overflowed, receipts, copies, in_flight,
                                    accepted_loss, missing, told_at)
        SELECT %(provider)s, now, %(appended)s, %(overflowed)s, %(receipts)s, %(copies)s, %(in_flight)s,
               %(accepted_loss)s, %(missing)s, CASE WHEN %(missing)s::bigint <> 0 THEN now END
        FROM clock_timestamp() AS now
        ON CONFLICT (provider) DO UPDATE
        SET (audited_at, appended, overflowed, receipts, copies, in_flight, accepted_loss, missing, told_at)
          = (excluded.audited_at, excluded.appended, excluded.overflowed, excluded.receipts, excluded.copies,
             excluded.in_flight, excluded.accepted_loss, excluded.missing,
             CASE WHEN kept.missing = excluded.missing
                   AND kept.told_at > excluded.audited_at - make_interval(secs => %(repeat)s)
                  THEN kept.told_at ELSE excluded.told_at END)
        RETURNING missing <> 0 AND told_at = audited_at AS tell
        """,
        account | {"repeat": _REPEAT_SECONDS},
    ).fetchone()
    assert row is not None  # noqa: S101 - RETURNING
    return bool(row.tell)
