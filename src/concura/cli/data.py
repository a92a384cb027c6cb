"""`concura data get heart-disease`: public data for the demonstration, with pinned digests.

This module does NOT read the data; `adapters/downloads.py` fetches and checks it.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

from concura.cli.options import Parser, add_actions, folder, run_action
from concura.cli.output import Output
from concura.errors import say

__all__ = ["configure", "run"]

_FILES = {"heart-disease": 4}  # how many each set has


def configure(parser: Parser) -> None:
    """Add the options of `data`."""
    add_actions(parser, {"get": (_configure_get, _get)})


def run(options: argparse.Namespace) -> int:
    """Do what the second word says."""
    return run_action(options)


def _configure_get(parser: Parser) -> None:
    parser.add_argument("set", choices=tuple(_FILES))
    parser.add_argument("folder", type=folder, nargs="?")
    parser.add_argument("--url", metavar="BASE")


def _get(options: argparse.Namespace) -> int:
    # The download pulls in an HTTP client; the help of this verb does not need one.
    from concura.adapters.downloads import get_heart_disease  # noqa: PLC0415 - lazy on purpose

    output: Output = options.output
    target: Path = options.folder or Path.cwd() / options.set
    more = {} if options.url is None else {"base_url": options.url}
    with output.progress(say("data.progress", output.lang), _FILES[options.set]) as advance:
        files = get_heart_disease(target, progress=_each(advance), **more)
    output.say("data.done", count=len(files), folder=str(target))
    output.object({"folder": str(target), "files": [str(path) for path in files]})
    return 0


def _each(advance: Callable[..., None]) -> Callable[[str, int, int], None]:
    """Turn "so many are done" into steps."""
    seen = 0

    def told(name: str, done: int, _total: int) -> None:
        nonlocal seen
        advance(done - seen, label=name)
        seen = done

    return told
