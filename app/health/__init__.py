"""Whether a process does its work, and whether deliveries reach the ledger."""
