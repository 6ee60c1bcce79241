"""Workers: Celery tasks that take what waits in the inboxes to the ledger."""
