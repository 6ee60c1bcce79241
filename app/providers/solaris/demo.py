"""What `kvitto demo` sends as Solaris, and what it shows of it."""

from app.providers.base import Demo, DemoTable

DEMO = Demo(
    sandbox_options=("--credit-lines", "3", "--repeated", "2"),
    tables=(
        DemoTable(
            "Credit lines from Solaris, current state",
            "solaris_credit_lines",
            ("id", "status", "decision", "offered_limit_cents", "offered_limit_currency", "revision", "flags"),
        ),
    ),
)
