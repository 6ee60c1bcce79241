"""Kvitto as the Dockerfile and users install it, on machines that users have."""
