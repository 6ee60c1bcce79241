"""Types and rules of deliveries, events and revisions, without I/O."""
