"""Traces by OpenTelemetry: of one delivery in so many, from its request to its row."""
