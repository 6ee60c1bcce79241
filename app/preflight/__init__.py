"""What `kvitto check` asks before a process starts."""
