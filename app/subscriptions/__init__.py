"""Subscriptions at the providers, managed through their APIs."""
