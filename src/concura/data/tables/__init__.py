"""Packaged tables. No logic."""
