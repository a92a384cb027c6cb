"""The command line: one file per verb, found through the table in `main.py`.

This package does NOT hold rules of the product: a verb reads its options, calls a use case or an
adapter, and says what came of it.
"""

from concura.cli.main import VERBS, main

__all__ = ["VERBS", "main"]
