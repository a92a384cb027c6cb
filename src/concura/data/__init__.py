"""Packaged tables and compiled definitions; no logic."""
