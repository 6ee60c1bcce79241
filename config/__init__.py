"""Settings, checks of them, and the configuration of the servers."""
