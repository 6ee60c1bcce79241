"""The questions of `kvitto check`; the rules that decide on the answers are in config.checks."""
