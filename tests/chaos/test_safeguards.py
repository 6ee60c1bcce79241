"""Every safeguard carries weight: taken out of a copy of the project, the test that guards it fails.

Those whose tests take longer are not repeated here: a sync before each answer is tests/chaos/test_fsync.py itself.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.kvitto_process import ROOT
from tests.support.servers import bare_environment

# More than the tests of one run take on a busy machine: a run that hangs ends, and nothing else does.
_SECONDS = 900


@dataclass(frozen=True)
class Safeguard:
    """What is taken out, where, what stands there instead, and the test that must notice."""

    file: str
    code: str
    instead: str
    test: str


SAFEGUARDS = {
    "a batch that writes into a counted period makes its counts void": Safeguard(
        "app/storage/migrations/0003_inbox_and_overflow.sql",
        "CREATE TRIGGER void_by_update AFTER UPDATE ON receipts REFERENCING OLD TABLE AS removed NEW TABLE AS added\n"
        "    FOR EACH STATEMENT EXECUTE FUNCTION void_periods();",
        "",
        "tests/integration/test_growth.py::test_counts_follow_the_ledger",
    ),
    "a period that changes while it is counted is not kept": Safeguard(
        "app/storage/periods.py",
        "JOIN counted USING (until, changes)",
        "JOIN counted USING (until)",
        "tests/integration/test_growth.py::test_a_period_that_changes_while_it_is_counted_is_counted_again",
    ),
    "no month of receipts moves during an audit": Safeguard(
        "app/storage/audits.py",
        'connection.execute("LOCK TABLE ONLY receipts, ONLY retired_receipts IN ACCESS SHARE MODE")',
        "pass",
        "tests/integration/test_retention.py::test_no_month_moves_during_an_audit",
    ),
    "a mark knows how many entries behind it retention removed": Safeguard(
        "app/storage/migrations/0013_retention.sql",
        "mark.archived_after + later.entries",
        "mark.archived_after",
        "tests/integration/test_retention.py"
        "::test_a_loss_that_later_entries_of_its_epoch_made_up_for_stays_known_after_their_month_was_removed",
    ),
    "counts for dashboards miss no month that is being removed": Safeguard(
        "app/storage/migrations/0003_inbox_and_overflow.sql",
        "LANGUAGE plpgsql SECURITY DEFINER SET search_path = kvitto, pg_temp\nAS $$\nBEGIN\n"
        "    LOCK TABLE ONLY receipts, ONLY retired_receipts IN ACCESS SHARE MODE;\n",
        "LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = kvitto, pg_temp\nAS $$\nBEGIN\n",
        "tests/integration/test_retention.py::test_counts_for_dashboards_that_waited_for_a_month_have_it",
    ),
    "a consumer of the feed knows that retention removed what it had not read": Safeguard(
        "app/storage/migrations/0013_retention.sql",
        "removed_until, (SELECT max(position) FROM events WHERE receipt = ANY (gone))",
        "removed_until, 0",
        "tests/integration/test_retention.py"
        "::test_what_retention_removes_leaves_the_feed_without_a_change_and_a_consumer_that_missed_some_is_marked",
    ),
    "a body goes with the event that an erasure would find it by": Safeguard(
        "app/storage/migrations/0013_retention.sql",
        "    DELETE FROM late_retry_findings WHERE receipt = ANY (gone);\n"
        "    DELETE FROM bodies WHERE receipt = ANY (gone);",
        "    DELETE FROM late_retry_findings WHERE receipt = ANY (gone);",
        "tests/integration/test_retention.py::test_bodies_go_with_the_events_that_an_erasure_would_find_them_by",
    ),
    "a body that comes too slowly is ended": Safeguard(
        "app/ingest/request_body.py",
        'place.end("body-too-slow")',
        "pass",
        "tests/e2e/test_edge.py::test_slow_bodies_without_a_valid_signature_stop_nothing_and_are_ended",
    ),
    "bodies that nothing authenticates are limited in number": Safeguard(
        "app/ingest/request_body.py",
        'next(iter(self._places)).end("too-many-bodies")',
        "pass",
        "tests/e2e/test_edge.py::test_slow_bodies_without_a_valid_signature_stop_nothing_and_are_ended",
    ),
    "a stop drains first": Safeguard(
        "app/ingest/runtime.py",
        "time.sleep(seconds)",
        "pass",
        "tests/e2e/deploy/test_restart.py::test_a_stopping_edge_is_unready_and_serves_until_its_drain_ends",
    ),
    "receipts and effects are one transaction": Safeguard(
        "app/storage/ledger.py",
        "with borrow(connection), connection.pipeline(), connection.transaction(force_rollback=undo):",
        "with borrow(connection):",
        "tests/integration/test_ledger.py::test_a_receipt_and_its_effects_stand_or_fall_together",
    ),
    "content that was erased is not stored again": Safeguard(
        "app/storage/ledger.py",
        "erasure.repeats(connection, fresh)",
        "()",
        "tests/integration/test_erasure.py::test_retry_of_erased_content_leaves_its_receipt_alone",
    ),
    "an erased letter is not replayed": Safeguard(
        "app/storage/receipts.py",
        " AND erased_at IS NULL",
        "",
        "tests/integration/test_erased_persons.py::test_replay_that_read_a_letter_before_its_erasure_stores_nothing",
    ),
    "the feed says what was erased": Safeguard(
        "app/storage/erasure.py",
        "feed.assign_positions(connection, held.provider, erased[0])",
        "pass",
        "tests/integration/test_erasure.py::test_person_is_erased_in_every_role_and_nobody_else_is",
    ),
    "deliveries that wait leave a receipt when they are erased": Safeguard(
        "app/storage/erasure.py",
        "_keep_tombstones(connection, held.waiting)",
        "pass",
        "tests/integration/test_erasure.py::test_deliveries_that_wait_are_erased_and_accounted_for",
    ),
    "stores of one provider take turns": Safeguard(
        "app/storage/ledger.py",
        'connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [lock])',
        "pass",
        "tests/integration/test_ledger.py::test_stores_of_one_provider_follow_each_other",
    ),
    "a change back is no late retry": Safeguard(
        "app/domain/retries.py",
        "return any(least <= distance <= greatest for least, greatest in self.ranges)",
        "return distance <= timedelta(hours=2)",
        "tests/unit/domain/test_revisions.py::test_fold_a_change_back_within_two_hours_is_the_last_word",
    ),
    "a late retry does not undo a change": Safeguard(
        "app/domain/retries.py",
        "return any(least <= distance <= greatest for least, greatest in self.ranges)",
        "return False",
        "tests/unit/domain/test_revisions.py::test_fold_no_retry_undoes_a_later_change",
    ),
    "no offer outlives its acceptance": Safeguard(
        "app/storage/events.py",
        "if decisive is not None and decisive in old and decisive in new and old[decisive] != new[decisive]:",
        "if False:",
        "tests/integration/test_ledger.py::test_credit_line_that_was_rejected_has_no_offer",
    ),
    "a revision that is decided again moves in the feed": Safeguard(
        "app/storage/ledger.py",
        "for row in (*new, *revised) if",
        "for row in new if",
        "tests/integration/test_feed.py::test_older_receipt_that_comes_late_moves_the_revisions_that_it_renumbers",
    ),
    "positions of a batch are notified with its commit": Safeguard(
        "app/storage/feed.py",
        "pg_notify(%s, row_to_json(taken)::text)",
        "%s",
        "tests/integration/test_feed.py::test_listeners_hear_of_each_batch_with_its_newest_position",
    ),
    "no cursor moves beyond the feed": Safeguard(
        "app/storage/migrations/0008_feed.sql",
        "IF up_to IS NULL OR up_to > newest THEN",
        "IF up_to IS NULL THEN",
        "tests/integration/test_feed.py::test_wrong_arguments_of_a_consumer_are_refused",
    ),
    "stored before it is acknowledged": Safeguard(
        "workers/batch.py",
        "        try:\n            outcomes = self.ledger.store(processed)",
        "        source.acknowledge([delivery.received for delivery in processed])\n"
        "        try:\n            outcomes = self.ledger.store(processed)",
        "tests/integration/test_consumer.py::test_an_unexpected_error_leaves_all_deliveries_in_the_inbox",
    ),
    "a batch that fails is split": Safeguard(
        "workers/batch.py",
        "            if len(batch) == 1:\n                return [(batch[0], error)]",
        "            return [(received, error) for received in batch]",
        "tests/integration/test_consumer.py"
        "::test_a_delivery_that_cannot_be_stored_becomes_a_dead_letter_and_the_others_are_stored",
    ),
    "a sweep frees what dead workers had claimed": Safeguard(
        "workers/consumer.py",
        "                for name in filter(self._slot.is_dead, source.consumers_with_claims()):\n"
        "                    source.release(name)",
        "                pass",
        "tests/integration/test_consumer.py::test_sweep_processes_the_claims_of_a_dead_slot",
    ),
    "a sweep takes over what was let go of": Safeguard(
        "workers/consumer.py",
        "self.inbox.claim_abandoned(self._name)",
        "pass",
        "tests/integration/test_consumer.py::test_sweep_processes_the_claims_of_a_dead_slot",
    ),
    "what a worker could not store it lets go of": Safeguard(
        "workers/consumer.py",
        "            try:\n                source.release(self._name)",
        "            try:\n                pass",
        "tests/integration/test_consumer.py::test_deliveries_that_one_worker_cannot_store_are_left_to_others",
    ),
    "a worker that starts lets go of its predecessor's claims": Safeguard(
        "workers/consumer.py",
        "                source.release(self._name)\n\n",
        "                pass\n\n",
        "tests/integration/test_consumer.py::test_start_releases_the_claims_of_a_predecessor",
    ),
    "silent claimants lose their claims": Safeguard(
        "app/inbox/stream.py",
        'self._reassign(consumer, _ABANDONED_MS, {"idle": _ABANDONED_MS})',
        "pass",
        "tests/integration/test_inbox.py::test_claim_abandoned_takes_the_claims_of_an_idle_consumer",
    ),
    "the group begins at the first entry": Safeguard(
        "app/inbox/stream.py",
        '_GROUP, "0", mkstream',
        '_GROUP, "$", mkstream',
        "tests/integration/test_inbox.py::test_claim_returns_deliveries_unchanged_even_from_before_the_group",
    ),
    "an entry says of which epoch it is": Safeguard(
        "app/inbox/codec.py",
        'UUID(fields[b"epoch"].decode()), stream_id',
        "UUID(int=1), stream_id",
        "tests/integration/test_inbox.py::test_an_emptied_server_gets_a_new_epoch",
    ),
    "a mark is compared with the entries up to its own id": Safeguard(
        "app/audit/conservation.py",
        "- later_entries - later_waiting",
        "",
        "tests/integration/test_set_back.py"
        "::test_audit_after_a_set_back_names_each_entry_whatever_an_idle_edge_appends_first",
    ),
    "an append ends an epoch that lost what its writer had confirmed": Safeguard(
        "app/inbox/lua.py",
        "tonumber(own or 0) < confirmed",
        "false",
        "tests/integration/test_set_back.py"
        "::test_an_append_after_a_set_back_begins_another_epoch_even_if_others_made_up_for_the_count",
    ),
    "a sweep ends the epoch of an inbox that is behind the marks": Safeguard(
        "workers/progress.py",
        "if any(map(mark.is_behind, seen)) and",
        "if False and",
        "tests/integration/test_set_back.py::test_a_sweep_ends_the_epoch_of_an_inbox_that_is_behind_the_marks",
    ),
    "a mark stays until the ledger has confirmed it": Safeguard(
        "app/storage/migrations/0003_inbox_and_overflow.sql",
        "WHERE total.entries - later.entries >= mark.appended AND NOT mark.is_newest",
        "WHERE NOT mark.is_newest",
        "tests/integration/test_audit.py::test_a_mark_is_kept_until_the_ledger_confirms_it_and_the_newest_for_good",
    ),
    "an edge that starts learns the newest times of receipt": Safeguard(
        "app/ingest/high_water_reporter.py",
        "self.clock.observe(provider, round(received_at.timestamp() * 1000))",
        "pass",
        "tests/integration/test_order_of_receipt.py"
        "::test_a_later_delivery_in_the_overflow_wins_over_one_whose_time_was_ahead",
    ),
    "the edge notices that Redis syncs no longer": Safeguard(
        "config/checks/redis.py",
        '    "appendfsync": (("always",), ',
        '    "appendfsync-": (("always",), ',
        "tests/integration/test_inbox.py::test_durability_errors_report_a_changed_appendfsync",
    ),
    "an append counts once its replicas confirm it": Safeguard(
        "app/inbox/client.py",
        "    if confirmed < replicas:",
        "    if False:",
        "tests/integration/test_durable_store.py"
        "::test_append_that_too_few_replicas_confirm_is_kept_in_postgres_and_takes_effect_once",
    ),
    "a delivery waits for one append that hangs, never for two": Safeguard(
        "app/ingest/durable_store.py",
        "        breaker.check()\n        try:\n            return write()",
        "        try:\n            return write()",
        "tests/integration/test_durable_store.py"
        "::test_deliveries_that_wait_for_an_append_that_hangs_go_to_postgres_without_one_of_their_own",
    ),
    "a failure closes the connections to a former primary": Safeguard(
        "app/ingest/circuit_breaker.py",
        "        self._disconnect()\n",
        "",
        "tests/unit/ingest/test_circuit_breaker.py::test_failure_of_request_or_probe_disconnects",
    ),
    "no password is sent to a server that is not verified": Safeguard(
        "config/redis_address.py",
        '"ssl_cert_reqs": "required", "ssl_check_hostname": True',
        '"ssl_cert_reqs": "none", "ssl_check_hostname": False',
        "tests/integration/test_redis_clients.py::test_tls_with_another_certificate_sends_no_password",
    ),
    "appended to the overflow again, kept once": Safeguard(
        "app/storage/overflow.py",
        "        ON CONFLICT DO NOTHING\n",
        "",
        "tests/e2e/test_overflow.py::test_a_delivery_appended_again_since_no_answer_came_is_kept_once",
    ),
    "a secret that is shown once is kept before anything else can fail": Safeguard(
        "app/subscriptions/service.py",
        'keep_secret(subscription)\n        records.record(self.connection, row, "active", subscription.reference)',
        'records.record(self.connection, row, "active", subscription.reference)\n        keep_secret(subscription)',
        "tests/integration/test_subscriptions.py::test_register_keeps_the_secret_if_the_database_fails",
    ),
    "a subscription whose answer was lost stays in doubt": Safeguard(
        "app/subscriptions/service.py",
        "            if not error.undecided:",
        "            if True:",
        "tests/integration/test_subscriptions.py::test_remove_resolves_a_registration_whose_answer_was_lost",
    ),
    "what a provider may have done is not asked for again": Safeguard(
        "app/providers/http_client.py",
        "_UNDECIDED, status=status, undecided=True)",
        "_UNDECIDED, status=status, undecided=True, retry_after_seconds=0)",
        "tests/integration/test_api.py::test_call_that_may_have_succeeded_is_not_retried",
    ),
    "an answer is shown without our secrets": Safeguard(
        "app/providers/http_client.py",
        'text = text.replace(secret, "***")',
        "pass",
        "tests/integration/test_api.py::test_error_does_not_repeat_a_secret_of_the_answer",
    ),
}


def copied(folder: Path) -> Path:
    """Copy what the tests run on."""
    for name in ("app", "workers", "config", "deploy", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "docker-compose.yml"):
        shutil.copy(ROOT / name, folder)
    return folder


def run_tests(project: Path, *tests: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
    return subprocess.run(
        command, cwd=project, env=bare_environment(), capture_output=True, text=True, timeout=_SECONDS, check=False
    )


def run_without(safeguard: Safeguard, folder: Path) -> subprocess.CompletedProcess[str]:
    project = copied(folder)
    file = project / safeguard.file
    text = file.read_text()
    assert text.count(safeguard.code) == 1
    file.write_text(text.replace(safeguard.code, safeguard.instead))
    return run_tests(project, safeguard.test)


@pytest.fixture(scope="module")
def runs(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, "Future[subprocess.CompletedProcess[str]]"]]:
    """The runs of the chosen tests, two at a time: most of one is waiting for its servers."""
    chosen = {item.callspec.params.get("name") for item in request.session.items if hasattr(item, "callspec")}
    with ThreadPoolExecutor(2) as pool:
        yield {
            name: pool.submit(run_without, safeguard, tmp_path_factory.mktemp("copy"))
            for name, safeguard in SAFEGUARDS.items()
            if name in chosen
        }
        pool.shutdown(cancel_futures=True)  # those that nobody asked for any more, when the tests were interrupted


@pytest.mark.parametrize("name", SAFEGUARDS)
def test_without_a_safeguard_its_test_fails(
    name: str, runs: dict[str, "Future[subprocess.CompletedProcess[str]]"]
) -> None:
    done = runs[name].result()
    assert (done.returncode, f"FAILED {SAFEGUARDS[name].test}" in done.stdout) == (1, True), done.stdout


def test_with_all_safeguards_the_tests_pass_in_a_copy_too(tmp_path: Path) -> None:
    done = run_tests(copied(tmp_path), *dict.fromkeys(each.test for each in SAFEGUARDS.values()))
    assert done.returncode == 0, done.stdout
