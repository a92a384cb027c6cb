"""`concura config show [DIR]`: every setting, its value, and where that comes from.

This module does NOT change settings: they are edited in `concura.toml`.
"""

import argparse
import os
from dataclasses import fields

from concura.cli.options import Parser, add_actions, folder, run_action
from concura.cli.output import Output
from concura.errors import FolderUnusable, say
from concura.profiles import Settings, load_settings

__all__ = ["configure", "run"]


def configure(parser: Parser) -> None:
    """Add the options of `config`."""
    add_actions(parser, {"show": (_configure_show, _show)})


def run(options: argparse.Namespace) -> int:
    """Do what the second word says."""
    return run_action(options)


def _configure_show(parser: Parser) -> None:
    parser.add_argument("folder", type=folder, nargs="?")


def _show(options: argparse.Namespace) -> int:
    if options.folder is not None and not options.folder.is_dir():
        raise FolderUnusable("missing", folder=str(options.folder))
    loaded = load_settings(options.folder, environment=os.environ)
    output: Output = options.output
    found = {
        known.name: {
            "value": getattr(loaded.settings, known.name),
            "source": loaded.sources[known.name],
        }
        for known in fields(Settings)
    }
    for name, one in found.items():
        source = one["source"]
        if source == "default":
            source = say("config.default", output.lang)
        output.say("config.line", name=name, value=one["value"], source=source)
    output.object(found)
    return 0
