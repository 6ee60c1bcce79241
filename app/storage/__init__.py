"""Stage 4: the ledger in Postgres. The only package that knows Postgres."""
