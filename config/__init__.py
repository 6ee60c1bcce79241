"""Settings, start-up checks and the configuration of the servers underneath."""
