"""Everything on one machine: embedded servers and all processes, for development, demo and tests."""
