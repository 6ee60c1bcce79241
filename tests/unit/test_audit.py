"""One epoch's books balance whatever was seen and kept of it."""

from datetime import UTC, datetime
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from app.audit import Account, Life
from app.delivery import Position
from app.storage.conservation import Accounts, Outcomes
from app.storage.witnesses import Witness

COUNTS = st.integers(0, 50)
WITNESSES = st.none() | COUNTS.map(lambda count: Witness(count, Position(1, 1), datetime.now(UTC)))
LIVES = st.builds(Life.of, st.uuids(), WITNESSES, st.builds(Accounts, COUNTS, COUNTS, COUNTS), COUNTS)


@given(LIVES)
def test_books_balance_and_nothing_is_below_zero(life: Life) -> None:
    parts = (life.receipts, life.copies, life.in_flight, life.accepted_loss, life.missing)
    assert min(parts) >= 0
    assert sum(parts) == life.appended


@given(st.lists(LIVES, max_size=4))
def test_no_epoch_makes_up_for_another(lives: list[Life]) -> None:
    account = Account("kompar", 0, Accounts(0, 0, 0), tuple(lives), Outcomes(0, 0, 0, miscounted=False))
    assert account.missing == sum(life.missing for life in lives)
    assert [row["epoch"] for row in account.losses()] == [life.epoch for life in lives if life.lost]


def test_what_is_accepted_settles_a_loss_and_no_more_than_it() -> None:
    def life(accepted: int) -> Life:
        witness = Witness(10, Position(1, 1), datetime.now(UTC))
        return Life.of(UUID(int=1), witness, Accounts(6, 1, 0), accepted)

    assert [(life(n).missing, life(n).accepted_loss) for n in (0, 2, 3, 9)] == [(3, 0), (1, 2), (0, 3), (0, 3)]
