"""Canaries: deliveries of our own that show whether the whole path works."""
