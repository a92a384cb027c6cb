"""`concura down DIR`: stop what serves a folder, and nothing else.

Nodes first, side by side, then the hub: asked, waited for, killed where they stay.

This module does NOT remove anything but what says that a process runs.
"""

import argparse
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from concura.adapters.folders import kind_of
from concura.adapters.locks import Lock
from concura.adapters.running import end
from concura.cli.options import Parser, folder
from concura.cli.output import Output
from concura.cli.status import places
from concura.errors import AlreadyRunning

__all__ = ["configure", "run"]


def configure(parser: Parser) -> None:
    """Add the options of `down`."""
    parser.add_argument("folder", type=folder)


def run(options: argparse.Namespace) -> int:
    """Stop every process of the folder; 0 whether or not any ran."""
    place: Path = options.folder
    found = places(place, options.lang)
    if kind_of(place) != "consortium":
        outcomes = _end_all(found)
    else:
        try:
            with Lock(place):  # an `up` that is still starting them would go on
                outcomes = _end_all(found)
        except AlreadyRunning as busy:
            raise AlreadyRunning("busy", **busy.values) from busy
    output: Output = options.output
    for path, name in found:
        output.say(f"down.{outcomes[path]}", name=name)
    output.object({"folder": str(place), "outcomes": {p.name: outcomes[p] for p in outcomes}})
    return 0


def _end_all(found: list[tuple[Path, str]]) -> dict[Path, str]:
    hubs = [path for path, _ in found if kind_of(path) == "hub"]
    nodes = [path for path, _ in found if path not in hubs]
    outcomes: dict[Path, str] = {}
    for group in (nodes, hubs):
        with ThreadPoolExecutor(max(1, len(group))) as pool:
            outcomes |= dict(zip(group, pool.map(end, group), strict=True))
    return outcomes
