"""Kvitto on eleven hosts of one machine, each a network namespace: hosts die, links are cut, servers fail over."""
