"""What `kvitto demo` sends as Kompar, and what it shows of it."""

from app.providers.base import Demo, DemoTable

DEMO = Demo(
    sandbox_options=(
        "--applications", "12", "--decisions", "4", "--retried", "3", "--undecryptable", "1", "--speed", "600",
    ),
    tables=(
        DemoTable(
            "Applications from Kompar, current state",
            "kompar_applications",
            ("application_id", "name", "company_name", "amount", "duration", "purpose", "revision", "flags"),
        ),
        DemoTable(
            "Decisions from Kompar", "kompar_decisions", ("application_id", "accepted", "offer_id", "revision")
        ),
    ),
)  # fmt: skip
