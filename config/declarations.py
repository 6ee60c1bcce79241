"""Every setting of Kvitto: name, meaning and default. Each provider declares its own in its settings.py.

docs/configuration.md is generated from here, and config.variables drops every environment variable that is not
declared. Standard library only: it is imported before any library.
"""

from typing import NamedTuple


class Setting(NamedTuple):
    """One setting. `default` is None if the setting is required, "" if it is optional.

    `read_by` names its readers where they do not read it through config.environment.
    """

    name: str
    meaning: str
    default: str | None = None
    secret: bool = False
    read_by: tuple[str, ...] = ()


SETTINGS: tuple[Setting, ...] = (
    Setting("DATABASE_URL", "Address of Postgres; each process has a role of its own there"),
    Setting(
        "REDIS_URL",
        "Address of Redis or Valkey, which holds the inboxes: `redis://user:password@host:6379/0`; `rediss://` for "
        "TLS; `redis+sentinel://user:password@host:26379,host2:26379/mymaster/0`; `unix:///path?db=0`",
    ),
    Setting(
        "REDIS_SENTINEL_PASSWORD",
        "Password of the sentinels that `REDIS_URL` or `CELERY_BROKER_URL` names",
        "",
        secret=True,
    ),
    Setting(
        "CELERY_BROKER_URL",
        "Broker of the wake-ups, a Redis too, written like `REDIS_URL`; without it, `REDIS_URL` is the broker",
        "",
    ),
    Setting(
        "PROVIDERS", "Providers to serve: names of folders in app/providers, separated by commas", "kompar,solaris"
    ),
    Setting(
        "SEALING_KEYS",
        "List of `id=key`, each key the base64 of 32 bytes; ids must differ. The first key seals, all open",
        secret=True,
    ),
    Setting(
        "FINGERPRINT_KEY",
        "Base64 of 32 bytes, for the digests that recognise repetitions. Never change it: stored digests would match "
        "nothing. The console can do without it, and then finds nobody by a national id",
        secret=True,
    ),
    Setting(
        "BODY_LIMIT_BYTES",
        "Largest body that is accepted, from 1024 to 268435456; a larger one is answered 413",
        "26214400",
    ),
    Setting(
        "DRAIN_SECONDS",
        "How long ingest goes on serving after SIGTERM, with `/readyz` at 503, until the balancer has noticed; at most "
        "3600, and 0 under `kvitto up`",
        "5",
    ),
    Setting("INGEST_BIND", "Address that ingest listens on", "127.0.0.1:8080"),
    Setting(
        "INGEST_TLS_CERT", "File in PEM with ingest's certificate chain; with it, ingest serves HTTPS, from TLS 1.3", ""
    ),
    Setting("INGEST_TLS_KEY", "File in PEM with the key of `INGEST_TLS_CERT`, without a password", ""),
    Setting(
        "TRUSTED_PROXIES",
        "Addresses and networks of the load balancers in front of ingest, separated by commas: they name the client in "
        "`X-Forwarded-For`. Without it, the client is who connects",
        "",
    ),
    Setting("CONSOLE_BIND", "Address that the console listens on; keep it private", "127.0.0.1:8081"),
    Setting(
        "CERTIFICATE_URL",
        "Address `https://host` of the balancer, or of ingest if it serves HTTPS: the console looks when its "
        "certificate expires",
        "",
    ),
    Setting("CONSOLE_PASSWORD", "Password of the console's `/metrics`, with any user name", secret=True),
    Setting(
        "CONSOLE_URL",
        "Address by which people reach the console, `https://host`, for sign-in by OpenID Connect: the provider sends "
        "them back to `/login/oidc/callback` there",
        "",
    ),
    Setting(
        "OIDC_ISSUER",
        "Issuer of OpenID Connect, as its discovery document names it; with it, people sign in to the console there. "
        "It needs the extra `oidc`, `CONSOLE_URL`, `OIDC_CLIENT_ID`, `OIDC_CLIENT_SECRET` and `OIDC_ROLES`",
        "",
    ),
    Setting("OIDC_CLIENT_ID", "Id of the console at the issuer", ""),
    Setting("OIDC_CLIENT_SECRET", "Secret of the console at the issuer", "", secret=True),
    Setting(
        "OIDC_ROLES",
        "List of `role=value`: who has this value in the claim of roles has this role, `viewer`, `operator` or "
        "`privacy`. The first item that fits counts; a role may have several items",
        "",
    ),
    Setting(
        "OIDC_ROLES_CLAIM",
        "Claim that holds a person's groups or roles, a text or a list of texts; `a.b` is `b` within `a`",
        "groups",
    ),
    Setting(
        "OIDC_NAME_CLAIM",
        "Claim with the name of a person in the access log; choose one that people cannot change, and that is unique",
        "preferred_username",
    ),
    Setting("OIDC_SCOPES", "Scopes to ask the issuer for, separated by spaces", "openid profile"),
    Setting(
        "ALLOW_NON_DURABLE",
        "Exceptions by name, for example `postgres.full_page_writes,redis.appendfsync`: start although that setting "
        "could lose a confirmed write",
        "",
    ),
    Setting(
        "DURABLE_STORE",
        "Where deliveries wait until they are processed: `redis`, or `postgres` if this Redis cannot promise to keep "
        "them; it only wakes workers then",
        "redis",
    ),
    Setting(
        "INBOX_REPLICAS",
        "Replicas of Redis, 100 at most, that must confirm an append within 0.5 s; else the delivery goes to Postgres",
        "0",
    ),
    Setting("CANARY_SECRET", "Signs canaries; without it, none are sent and none are accepted", "", secret=True),
    Setting(
        "CANARY_MAX_AGE_SECONDS",
        "Age of the newest canary above which the console is unready, at most 86400; 0 for never",
        "60",
    ),
    Setting("INGEST_URL", "Address that canaries are sent to", "http://127.0.0.1:8080"),
    Setting("CA_FILE", "File in PEM with a certificate authority to trust in addition to the usual ones", ""),
    Setting(
        "ROLE_PASSWORDS",
        "List of `role=password`: `kvitto migrate` sets these passwords of the processes' roles",
        "",
        secret=True,
    ),
    Setting(
        "ROLE_PREFIX",
        "What the names of the processes' roles in Postgres begin with; each installation of one server has its own",
        "kvitto",
    ),
    Setting(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "Address of a collector that takes traces by OTLP over HTTP; without it nothing is traced. It needs the extra "
        "`otel`",
        "",
    ),
    Setting(
        "OTEL_EXPORTER_OTLP_HEADERS", "List of `name=value`: headers for the collector, its token for example", "", True
    ),
    Setting("OTEL_TRACES_SAMPLER_ARG", "Share of the requests that are traced, from 0 to 1", "0.01"),
    Setting(
        "RETENTION",
        "After how many months what is removed: a list of `provider.kind=months`, kinds `bodies`, `contents` and "
        "`receipts`; what is not listed is kept for good",
        "",
    ),
    Setting("PUBLIC_URL", "Address `https://host` at which providers reach ingest; the default of `--url`", ""),
    Setting(
        "QUIET_HOURS",
        "When nothing is expected of a provider, separated by commas: `sat-sun`, `22-06`, `kompar mon-fri 18-08`. By "
        "default the usual times are learned only",
        "",
    ),
    Setting(
        "TIME_ZONE",
        "Time zone of `QUIET_HOURS`, and of the hours of the week for which usual times are learned",
        "Europe/Stockholm",
    ),
    Setting(
        "METRICS_BIND",
        "Address on which a process serves `/metrics`; keep it private. Without it, a process serves none. `kvitto up` "
        "gives each process a port of its own, from this one on, or from 9400",
        "",
    ),
    Setting(
        "KVITTO_OPERATOR",
        "Who runs a command that is recorded; the same as `--operator`. A claim: nothing proves it",
        "",
        read_by=(
            "reveal",
            "export",
            "erase",
            "reseal",
            "retention",
            "rejected",
            "dead-letters",
            "deliveries",
            "audit --accept-loss",
            "subscriptions",
        ),
    ),
    Setting("KVITTO_DATA", "Data folder of `kvitto up`; the same as `--data`", ".kvitto", read_by=("all commands",)),
)
# What a setting is if the environment does not give it.
DEFAULTS = {setting.name: setting.default or "" for setting in SETTINGS}
