"""Plays the providers. It shares no code with the receiving side, so that each proves the other."""
