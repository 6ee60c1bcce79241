"""The audit proves that no delivery that was answered 200 is missing from the ledger."""
