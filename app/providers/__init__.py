"""The providers: one folder each, and what their folders share."""
