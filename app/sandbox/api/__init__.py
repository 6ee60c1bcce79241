"""Plays the providers' APIs, and delivers to whoever subscribes there."""
