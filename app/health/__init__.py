"""Health checks: does a process do its work, and do deliveries reach the ledger?"""
