"""Tests of the whole of Kvitto."""
