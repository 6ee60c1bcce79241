"""`python -m app.cli` is `kvitto`."""

from app.cli import main

main()
