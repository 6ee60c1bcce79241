"""Everything on one machine: embedded servers and Kvitto's processes, for development, demo and tests."""
