"""One epoch's books balance whatever was seen and kept of it."""

from datetime import UTC, datetime
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from app.audit.conservation import EpochBalance, ProviderBalance
from app.domain.delivery import StreamId
from app.storage.entry_counts import EntryCounts, Outcomes
from app.storage.high_water_marks import HighWaterMark

COUNTS = st.integers(0, 50)
WITNESSES = st.none() | COUNTS.map(lambda count: HighWaterMark(count, StreamId(1, 1), datetime.now(UTC)))
LIVES = st.builds(EpochBalance.of, st.uuids(), WITNESSES, st.builds(EntryCounts, COUNTS, COUNTS, COUNTS), COUNTS)


@given(LIVES)
def test_books_balance_and_nothing_is_below_zero(life: EpochBalance) -> None:
    parts = (life.receipts, life.copies, life.in_flight, life.accepted_loss, life.missing)
    assert min(parts) >= 0
    assert sum(parts) == life.appended


@given(st.lists(LIVES, max_size=4))
def test_no_epoch_makes_up_for_another(lives: list[EpochBalance]) -> None:
    account = ProviderBalance("kompar", 0, EntryCounts(0, 0, 0), tuple(lives), Outcomes(0, 0, 0, miscounted=False))
    assert account.missing == sum(life.missing for life in lives)
    assert [row["epoch"] for row in account.losses()] == [life.epoch for life in lives if life.lost]


def test_what_is_accepted_settles_a_loss_and_no_more_than_it() -> None:
    def life(accepted: int) -> EpochBalance:
        witness = HighWaterMark(10, StreamId(1, 1), datetime.now(UTC))
        return EpochBalance.of(UUID(int=1), witness, EntryCounts(6, 1, 0), accepted)

    assert [(life(n).missing, life(n).accepted_loss) for n in (0, 2, 3, 9)] == [(3, 0), (1, 2), (0, 3), (0, 3)]
