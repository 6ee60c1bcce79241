"""Stage 2: the Redis stream of deliveries that were answered 200 and are not yet in the ledger."""
