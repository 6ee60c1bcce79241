"""QUIET_HOURS, as an operator writes it."""

import pytest

from config.environment import Environment
from config.quiet_hours import QuietHours, quiet_hours, time_zone

MONDAY, SATURDAY = 0, 5 * 24


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        ("", set()),
        ("sat", {*range(SATURDAY, SATURDAY + 24)}),
        ("sat-sun", {*range(SATURDAY, SATURDAY + 48)}),
        ("sun-mon", {*range(SATURDAY + 24, 168), *range(24)}),
        ("mon 22-06", {*range(22, 30)}),
        ("sun 22-02", {166, 167, 0, 1}),
        ("00-24", {*range(168)}),
        ("solaris 00-24", set()),
        ("Kompar Mon 08-10, solaris tue,\n mon 12-13", {8, 9, 12}),
    ],
)
def test_quiet_hours_of_a_provider(text: str, hours: set[int]) -> None:
    assert QuietHours.parse(text).of("kompar") == hours


@pytest.mark.parametrize(
    "text", ["sat-", "22:00-06:00", "kompar", "weekend", "kompar solaris", "mon 25-26", "06-", "mon 22-06 sat"]
)
def test_quiet_hours_of_another_form_are_a_fault(text: str) -> None:
    environment = Environment({"QUIET_HOURS": text, "TIME_ZONE": "Europe/Nowhere"})
    assert quiet_hours(environment) == QuietHours()
    time_zone(environment)
    assert [fault.name for fault in environment.faults] == ["QUIET_HOURS", "TIME_ZONE"]
