"""The sandbox, against fake receivers."""
