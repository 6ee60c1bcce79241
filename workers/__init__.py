"""Celery workers and beat."""
