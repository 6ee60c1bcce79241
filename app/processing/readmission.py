"""Readmits rejected requests that verify now: the fault was ours, and has been corrected."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from app.crypto.sealing import SealingKeys
from app.domain.delivery import Delivery
from app.errors import AuthenticationError, InvalidDeliveryError
from app.processing.saved_request import SavedRequest
from app.providers import registry
from app.providers.base import Authentication, kept_headers
from app.storage import access_log, rejected
from app.storage.access_log import Access
from app.storage.connection import Connection
from app.storage.rejected import RejectedRequest
from config.environment import Environment
from config.settings import RejectedSettings


class Readmission:
    """Verifies rejected requests with the present secrets."""

    def __init__(self, environment: Environment) -> None:
        """Read the secrets of the providers; raises ConfigurationError."""
        settings = RejectedSettings.read(environment)
        found = {name: registry.load_authentication(name, environment) for name in settings.providers}
        environment.check()
        self._authentications: Mapping[str, Authentication] = {name: each for name, each in found.items() if each}
        self._keys = SealingKeys(settings.sealing_keys)

    def readmit(
        self, connection: Connection, requests: Iterable[RejectedRequest], access: Access | None
    ) -> Iterator[dict[str, Any]]:
        """Readmit each request that verifies now, and log it; yield what became of it, without `access` what would.

        A delivery keeps its time of receipt. If the provider has delivered it again meanwhile, one of the two is a
        duplicate, as always.
        """
        for request in requests:
            outcome, detail = "stays rejected", ""
            try:
                delivery = self._verified(request)
            except (AuthenticationError, InvalidDeliveryError) as error:
                detail = str(error)
            except ValueError as error:
                detail = f"not a delivery: {error}"
            else:
                is_new = access is None or _readmit(connection, delivery, access)
                outcome = "readmitted" if is_new else "readmitted before"
            yield {
                "receipt": request.receipt,
                "provider": request.provider,
                "received_at": request.received_at,
                "reason": request.reason,
                "client": request.client,
                "outcome": outcome,
                "detail": detail,
            }

    def _verified(self, request: RejectedRequest) -> Delivery:
        authentication = self._authentications.get(request.provider)
        if authentication is None:
            raise ValueError(f"{request.provider} is not among PROVIDERS")
        saved = SavedRequest.parse(self._keys.unseal(request.receipt, request.request))
        if saved.topic not in authentication.topics:
            raise ValueError("its path names no topic of the provider")
        authentic = authentication.authenticate(saved)
        if authentic is None or not saved.body:
            raise ValueError("it says nothing")
        sealed = self._keys.seal(request.receipt, saved.body)
        headers = kept_headers(authentication, saved)
        return Delivery(request.receipt, request.provider, authentic.topic, headers, sealed)


def _readmit(connection: Connection, delivery: Delivery, access: Access) -> bool:
    with connection.transaction():
        is_readmitted = rejected.readmit(connection, delivery)
        if is_readmitted:
            access_log.record(connection, replace(access, provider=delivery.provider, receipt=delivery.receipt))
    return is_readmitted
