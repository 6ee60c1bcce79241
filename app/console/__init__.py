"""The operators' page, health and metrics: a separate process on a private port."""
