"""Tests of processing."""
