"""The operators' pages, health and metrics, in a process of its own on a private port."""
