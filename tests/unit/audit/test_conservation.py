"""Balances add up for any counts."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from app.audit.conservation import EpochBalance, ProviderBalance
from app.storage.audits import EntryCounts

COUNTS = st.integers(0, 50)
ENTRIES = st.builds(EntryCounts, COUNTS, COUNTS, COUNTS)
BALANCES = st.builds(EpochBalance.of, st.uuids(), st.none(), ENTRIES, COUNTS, COUNTS)


@given(BALANCES)
def test_epoch_balance_adds_up_and_no_count_is_negative(balance: EpochBalance) -> None:
    parts = (balance.receipts, balance.copies, balance.in_flight, balance.accepted_loss, balance.missing)
    assert min(parts) >= 0
    assert sum(parts) == balance.appended


@given(st.lists(BALANCES, max_size=4))
def test_provider_balance_surplus_of_one_epoch_does_not_hide_the_loss_of_another(epochs: list[EpochBalance]) -> None:
    overflow = EpochBalance.of(UUID(int=0), None, EntryCounts(0, 0, 0), 0, 0)
    provider = ProviderBalance("kompar", tuple(epochs), overflow, {})
    assert provider.missing == sum(epoch.missing for epoch in epochs)
    assert [row["epoch"] for row in provider.losses()] == [epoch.epoch for epoch in epochs if epoch.lost]


def test_epoch_balance_accepts_at_most_what_was_lost() -> None:
    def balance(accepted: int) -> EpochBalance:
        return EpochBalance.of(UUID(int=1), None, EntryCounts(6, 1, 0), 3, accepted)

    assert [(balance(n).missing, balance(n).accepted_loss) for n in (0, 2, 3, 9)] == [(3, 0), (1, 2), (0, 3), (0, 3)]
