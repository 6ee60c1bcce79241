"""Baselines: what a user would write instead, and the limits of what each part can do."""
