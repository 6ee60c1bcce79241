"""Canaries: deliveries of our own that show whether the path is open."""
