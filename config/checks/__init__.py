"""Rules that judge settings and servers. They are pure: they ask nothing."""
