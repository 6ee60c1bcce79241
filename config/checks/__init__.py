"""Rules that decide what is wrong with settings and servers, from what these report; no I/O."""
