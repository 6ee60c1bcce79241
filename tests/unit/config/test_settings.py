"""Settings: every fault at once, each with a hint, never with a secret."""

import base64
from pathlib import Path

import pytest

from app.local.certificates import Authority
from app.providers import registry
from config.checks import postgres, redis
from config.environment import ConfigurationError, Environment
from config.redis_address import RedisAddress
from config.settings import BeatSettings, ConsoleSettings, IngestSettings, MigrateSettings, WorkerSettings

KEY = base64.b64encode(b"k" * 32).decode()
GOOD = {
    "DATABASE_URL": "postgresql://db/kvitto",
    "REDIS_URL": "redis://redis/0",
    "SEALING_KEYS": f"new={KEY},old={KEY}",
    "FINGERPRINT_KEY": KEY,
    "KOMPAR_KEYS": f"a={'x' * 32}",
    "KOMPAR_TOKENS": "first-token-0123, second-token-0123",
}


def test_settings_that_are_valid_are_read() -> None:
    settings = IngestSettings.load(GOOD)
    assert settings.broker == RedisAddress((("redis", 6379),))
    assert settings.providers == ("kompar", "solaris")
    assert settings.body_limit_bytes == 25 * 1024 * 1024
    assert [label for label, _ in settings.sealing_keys] == ["new", "old"]


def test_settings_with_faults_report_all_together_without_secrets() -> None:
    wrong = {
        "SEALING_KEYS": "SECRET",
        "FINGERPRINT_KEY": "SECRET",
        "ALLOW_NON_DURABLE": "perhaps",
        "PROVIDERS": "Kompar!",
    }
    with pytest.raises(ConfigurationError) as caught:
        WorkerSettings.load(wrong)
    names = {fault.name for fault in caught.value.faults}
    assert names >= {"DATABASE_URL", "REDIS_URL", "SEALING_KEYS", "FINGERPRINT_KEY", "ALLOW_NON_DURABLE", "PROVIDERS"}
    assert "SECRET" not in str(caught.value)
    assert all(fault.hint for fault in caught.value.faults)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SEALING_KEYS", f"a={KEY},a={KEY}"),
        ("SEALING_KEYS", "a=c2hvcnQ="),
        ("SEALING_KEYS", ","),
        ("BODY_LIMIT_BYTES", "-1"),
        ("BODY_LIMIT_BYTES", "²"),
        ("INGEST_BIND", "8080"),
        ("REDIS_URL", "http://x"),
        ("CELERY_BROKER_URL", "amqp://x"),
        ("INGEST_BIND", "host:99999"),
        ("PROVIDERS", "kompar,kompar"),
    ],
)
def test_settings_with_a_wrong_value_report_its_name(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        IngestSettings.load(GOOD | {name: value})
    assert {fault.name for fault in caught.value.faults} == {name}


@pytest.mark.parametrize("prefix", ["Kvitto", "a-b", "1a", "p" * 60, 'a"b'])
def test_prefix_that_names_no_role_is_a_fault(prefix: str) -> None:
    assert MigrateSettings.load(GOOD | {"ROLE_PREFIX": "kvitto_stage"}).role_prefix == "kvitto_stage"
    with pytest.raises(ConfigurationError, match="ROLE_PREFIX: is no prefix"):
        MigrateSettings.load(GOOD | {"ROLE_PREFIX": prefix})


def test_secret_from_a_file_is_read_and_a_wrong_file_is_a_fault(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("from a file\n")
    read = {"DATABASE_URL": "postgresql://db/x", "REDIS_URL": "redis://r", "CONSOLE_PASSWORD_FILE": str(file)}
    assert ConsoleSettings.load(read).password == "from a file"
    with pytest.raises(ConfigurationError):
        ConsoleSettings.load(read | {"CONSOLE_PASSWORD": "twice"})
    with pytest.raises(ConfigurationError):
        ConsoleSettings.load(read | {"CONSOLE_PASSWORD_FILE": str(tmp_path / "none")})
    file.write_text("\n")
    with pytest.raises(ConfigurationError):
        ConsoleSettings.load(read)


def test_ingest_certificate_needs_its_own_key(tmp_path: Path) -> None:
    issued = Authority(tmp_path).issue("ingest")
    files = {"INGEST_TLS_CERT": str(issued.chain), "INGEST_TLS_KEY": str(issued.key)}
    assert IngestSettings.load(GOOD).certificate is None
    assert IngestSettings.load(GOOD | files).certificate == (str(issued.chain), str(issued.key))
    another = Authority(tmp_path / "another").issue("ingest")
    for wrong in ("/nowhere", str(issued.chain), str(another.key), ""):
        with pytest.raises(ConfigurationError) as caught:
            IngestSettings.load(GOOD | files | {"INGEST_TLS_KEY": wrong})
        assert [fault.name for fault in caught.value.faults] == ["INGEST_TLS_CERT"]


def test_ca_file_that_cannot_be_read_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "odd").write_text("no certificate")
    assert BeatSettings.load(GOOD | {"CA_FILE": str(Authority(tmp_path).path)}).authority
    for wrong in ("/nowhere", str(tmp_path / "odd")):
        with pytest.raises(ConfigurationError, match="CA_FILE: cannot be used"):
            BeatSettings.load(GOOD | {"CA_FILE": wrong})


def test_provider_without_a_folder_is_a_fault() -> None:
    environment = Environment(GOOD)
    assert registry.load("nobody", environment) is None
    assert registry.load_authentication("nobody", environment) is None
    assert [fault.name for fault in environment.faults] == ["PROVIDERS", "PROVIDERS"]


def test_kompar_key_of_another_length_is_a_fault() -> None:
    environment = Environment(GOOD | {"KOMPAR_KEYS": "a=short"})
    registry.load("kompar", environment)
    assert [fault.name for fault in environment.faults] == ["KOMPAR_KEYS"]
    assert "short" not in str(environment.faults[0])


DURABLE = {
    "appendonly": "yes",
    "appendfsync": "always",
    "no-appendfsync-on-rewrite": "no",
    "maxmemory-policy": "noeviction",
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("appendonly", "no"),
        ("appendfsync", "everysec"),
        ("no-appendfsync-on-rewrite", "yes"),
        ("maxmemory-policy", "allkeys-lru"),
    ],
)
def test_redis_that_could_lose_a_write_is_a_fault(name: str, value: str) -> None:
    assert redis.unsafe_settings(DURABLE) == []
    (fault,) = redis.unsafe_settings(DURABLE | {name: value})
    assert name in fault.name
    assert name in fault.hint


def test_redis_that_hides_its_settings_is_a_fault() -> None:
    assert len(redis.unsafe_settings({})) == 4


@pytest.mark.parametrize("name", ["fsync", "full_page_writes", "synchronous_commit"])
def test_postgres_that_could_lose_a_commit_is_a_fault(name: str) -> None:
    good = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}
    assert postgres.unsafe_settings(good) == []
    (fault,) = postgres.unsafe_settings(good | {name: "off"})
    assert name in fault.name


def test_retention_is_read_by_provider_and_kind() -> None:
    text = "kompar.bodies=6, kompar.contents=24,kompar.receipts=84,solaris.bodies=3"
    settings = WorkerSettings.load(GOOD | {"RETENTION": text})
    assert settings.retention == {
        "kompar": {"bodies": 6, "contents": 24, "receipts": 84}, "solaris": {"bodies": 3},
    }  # fmt: skip
    assert WorkerSettings.load(GOOD).retention == {}


@pytest.mark.parametrize(
    "text",
    [
        "kompar=6", "kompar.letters=6", "kompar.bodies=0", "kompar.bodies=6d", "kompar.receipts=12",
        "kompar.receipts=12,kompar.contents=24", "kompar.receipts=12,kompar.contents=6,kompar.bodies=24",
    ],
)  # fmt: skip
def test_retention_that_is_malformed_or_keeps_more_than_receipts_is_a_fault(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        WorkerSettings.load(GOOD | {"RETENTION": text})
    assert [fault.name for fault in caught.value.faults] == ["RETENTION"]
