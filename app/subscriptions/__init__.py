"""Subscriptions at the providers: made, removed and listed through their APIs."""
