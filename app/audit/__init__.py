"""The audit: nothing that was answered 200 is missing from the ledger."""
