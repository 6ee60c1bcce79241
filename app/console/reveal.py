"""Reveals a body to a person who gives a reason. The console has no key: it asks a worker."""

import json
import time
from uuid import UUID

from flask import abort, render_template
from uuid_utils.compat import uuid7

from app.console.access import Pages, current
from app.console.dead_letters import recorded_reason
from app.crypto.handover import Recipient
from app.storage import deliveries, operator_jobs
from app.storage.connection import Connection
from app.storage.operator_jobs import RevealRequest

# Workers look every three seconds.
_SECONDS, _STEP = 15.0, 0.2


def add_routes(pages: Pages) -> None:
    """Add the action."""

    @pages.post("/deliveries/<uuid:receipt>/reveal", "reveal")
    def reveal(connection: Connection, receipt: UUID) -> str:
        why = recorded_reason()
        delivery = deliveries.find(connection, receipt)
        if delivery is None:
            abort(404, f"The ledger has no receipt {receipt}.")
        recipient, wanted = Recipient(), UUID(bytes=uuid7().bytes)
        asked = RevealRequest(wanted, receipt, current().user.name, why, recipient.public_key)
        operator_jobs.ask_to_reveal(connection, delivery["provider"], asked)
        until, sealed = time.monotonic() + _SECONDS, None
        while sealed is None and time.monotonic() < until:
            time.sleep(_STEP)
            sealed = operator_jobs.take_answer(connection, wanted)
        if sealed is None:
            operator_jobs.forget_request(connection, wanted)
            abort(503, f"No worker of {delivery['provider']} answered within {_SECONDS:.0f} s. Nothing was opened.")
        answer = json.loads(recipient.open(sealed, wanted.bytes))
        return render_template("revealed.html", receipt=receipt, why=why, **answer)
