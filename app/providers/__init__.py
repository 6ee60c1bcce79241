"""The providers: one folder each, and what all of them share."""
