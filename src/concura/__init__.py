"""Concura 康互: hospitals share what they know about patients without giving it away."""

from concura._version import __version__

__all__ = ["__version__"]
