"""Fake data resembles real data, is seeded, and belongs to nobody."""

import base64
import math
import statistics
from random import Random
from typing import Any

import pytest
from stdnum import iban, luhn
from stdnum.se import orgnr, personnummer

from app.providers.kompar.schemas import CHECKS, PURPOSES, Application, Decision
from app.sandbox import fake_kompar, fake_solaris
from app.sandbox.fake_kompar import company_number, personal_number

MANY = 1000


@pytest.fixture(scope="module")
def applications() -> list[dict[str, Any]]:
    random = Random(7)
    return [fake_kompar.application(random) for _ in range(MANY)]


def test_fake_data_same_seed_is_equal() -> None:
    def generate(seed: int) -> list[object]:
        random = Random(seed)
        applications = [fake_kompar.application(random) for _ in range(5)]
        decisions = [fake_kompar.decision(random, "a", each, with_files=True) for each in applications]
        return [applications, decisions, fake_solaris.credit_line(random), fake_solaris.overdraft_rate(random)]

    assert generate(1) == generate(1)
    assert generate(1) != generate(2)


def test_fake_applications_pass_every_check_of_the_receiver(applications: list[dict[str, Any]]) -> None:
    for application in applications:
        Application().load(application)
        for key, checks in CHECKS.items():
            if application.get(key) is not None:
                assert all(passes(application[key]) for _, passes in checks), (key, application[key])


def test_personal_number_is_valid_and_reserved_for_tests() -> None:
    random = Random(1)
    numbers = [personal_number(random) for _ in range(MANY)]
    raised = [number for number in numbers if int(number[6:8]) > 60]
    assert 0.02 < len(raised) / MANY < 0.07
    for number in numbers:
        assert 980 <= int(number[9:12]) <= 999
        assert luhn.is_valid(number.replace("-", "")[2:])
    assert all(personnummer.is_valid(number) for number in numbers if number not in raised)


@pytest.mark.parametrize(("form", "series"), [("AB", range(552, 555)), ("HB", range(962, 967))])
def test_company_number_is_valid_and_unassigned(form: str, series: range) -> None:
    random = Random(1)
    numbers = [company_number(random, form) for _ in range(MANY)]
    assert {len(number) for number in numbers} == {10, 11, 12}
    for number in numbers:
        ten = number.replace("-", "")[-10:]
        assert orgnr.is_valid(ten)
        assert int(ten[:3]) in series


def test_sole_trader_company_number_is_the_owners(applications: list[dict[str, Any]]) -> None:
    traders = [each for each in applications if each.get("company_type") == "EF"]
    assert 0.1 < len(traders) / MANY < 0.3
    assert all(each["company_id"] == each["ssn"] for each in traders)


def test_applications_contain_every_purpose(applications: list[dict[str, Any]]) -> None:
    assert {each.get("purpose") for each in applications} >= PURPOSES


def test_amounts_are_round_skewed_and_correlate_with_revenue(applications: list[dict[str, Any]]) -> None:
    amounts = [each["amount"] for each in applications]
    assert all(amount % 5_000 == 0 and 20_000 <= amount <= 10_000_000 for amount in amounts)
    assert statistics.mean(amounts) > 1.3 * statistics.median(amounts)
    known = [each for each in applications if each["company_revenue"] and each["company_age"]]
    revenues = [math.log(each["company_revenue"]) for each in known]
    for key, least in (("amount", 0.6), ("company_age", 0.2)):
        values = [math.log(each[key]) for each in known]
        assert statistics.correlation(revenues, values) > least


def test_missing_numbers_are_null_and_missing_texts_absent(applications: list[dict[str, Any]]) -> None:
    for name in ("company_revenue", "company_age", "duration"):
        assert any(each[name] is None for each in applications)
    for name in ("company_name", "company_type", "purpose", "name"):
        assert any(name not in each for each in applications)
        assert all(each.get(name, "") is not None for each in applications)


def test_decisions_have_files_of_skewed_sizes() -> None:
    random = Random(1)
    decisions: list[dict[str, Any]] = [fake_kompar.decision(random, "a", {}, with_files=True) for _ in range(1000)]
    assert 600 < sum(each["accepted"] for each in decisions) < 800
    assert all(set(each) == {"application_id", "accepted"} for each in decisions if not each["accepted"])
    for each in decisions:
        Decision().load(each)
        assert "+46701740605" <= str(each.get("phone", "+46701740605")) <= "+46701740699"  # kept for fiction
    sizes = [len(base64.b64decode(file["data"])) for each in decisions for file in each.get("files", ())]
    assert len(sizes) > 100
    assert statistics.mean(sizes) > 1.5 * statistics.median(sizes)
    assert max(sizes) > 1_000_000


def test_credit_line_events_run_from_examination_to_a_final_status() -> None:
    random = Random(1)
    ends = set()
    for _ in range(200):
        events = fake_solaris.credit_line(random)
        assert len({document["id"] for _, document in events}) == 1
        statuses = [str(document["status"]) for _, document in events]
        assert statuses[0] == "credit_record_pending"
        assert len(set(statuses)) == len(statuses)
        ends.add(statuses[-1])
    assert ends == {"rejected", "expired", "credit_line_created"}


def test_ibans_are_valid() -> None:
    random = Random(1)
    for _ in range(200):
        _, document = fake_solaris.rejected_transaction(random)
        assert iban.is_valid(str(document["sender_iban"]))
