"""`concura keys …`: keys at rest, the key store, and shares of its root.

This module does NOT do any of it: `keys_store.py`, `keys_table.py` and `keys_shares.py` do, each
with a table of second words.
"""

import argparse

from concura.cli import keys_shares, keys_store, keys_table
from concura.cli.options import Parser, add_actions, run_action

__all__ = ["configure", "run"]


def configure(parser: Parser) -> None:
    """Add the second words of `keys`."""
    add_actions(parser, {**keys_store.ACTIONS, **keys_table.ACTIONS, **keys_shares.ACTIONS})


def run(options: argparse.Namespace) -> int:
    """Run the second word."""
    return run_action(options)
