"""`concura up DIR`: a hub and its hospitals in one folder, started and left running.

It runs the commands that operators of separate machines would run: `node init`, `hub init`,
`hub serve`, `node join`, `node serve`. Each step that is done already is left out, so that running
it again goes on where it was killed and restarts what is missing.

This module does NOT know how a hub or node works.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from concura.adapters.folders import atomic_write, claim
from concura.adapters.locks import Lock
from concura.adapters.processes import Child, Children, finish, release, start, stop, wait_ready
from concura.adapters.running import read_run
from concura.cli.options import Parser, folder
from concura.cli.output import Output
from concura.cli.plan import Plan, settle, wish
from concura.errors import AlreadyRunning, say
from concura.profiles import SETTINGS_FILE, load_settings

__all__ = ["configure", "run"]

_SETTINGS = b"# name = value; `concura config show` lists every setting\n"
_AT_ONCE = 4  # commands that make keys side by side


def configure(parser: Parser) -> None:
    """Add the options of `up`."""
    parser.add_argument("folder", type=folder)
    parser.add_argument("--hospitals", type=int, metavar="N")
    parser.add_argument("--names", metavar="A,B,…")
    parser.add_argument("--name", metavar="TEXT")
    parser.add_argument("--host", metavar="ADDRESS")
    parser.add_argument("--port", type=int, metavar="N")
    parser.add_argument("--difficulty", type=int, metavar="BITS")


def run(options: argparse.Namespace) -> int:
    """Start what is not running yet; end what was started here if not all can be."""
    place: Path = options.folder
    output: Output = options.output
    flags = {
        "host": options.host,
        "port": options.port,
        "difficulty_bits": options.difficulty,
    }
    load_settings(place, environment=os.environ, flags=flags)  # refuse before anything is made
    wished = wish(options)
    claim(place, "consortium")
    try:
        with Lock(place):
            plan = settle(place, wished, options)
            if not (place / SETTINGS_FILE).exists():
                atomic_write(place / SETTINGS_FILE, _SETTINGS)
            _Builder(place, plan, output, options).bring_up()
    except AlreadyRunning as busy:
        if busy.values.get("folder") == str(place):
            raise AlreadyRunning("busy", **busy.values) from busy
        raise
    output.object(_summary(place, plan))
    output.say("up.done", folder=str(place))
    return 0


class _Builder:
    """One run of `up`: the folder, the plan, and what was started here."""

    def __init__(
        self, place: Path, plan: Plan, output: Output, options: argparse.Namespace
    ) -> None:
        self.place, self.plan, self.output, self.options = place, plan, output, options
        self.started: list[Child] = []

    def bring_up(self) -> None:
        hub = self.place / "hub"
        try:
            self._make_nodes()
            self._make_hub(hub)
            self._serve([("hub", say("status.hub", self.output.lang))])
            self._join(hub)
            self._serve(self.plan.hospitals)
        except BaseException:  # Ctrl-C too: all or nothing of what this run began
            stop(self.started)
            raise
        for child in self.started:
            release(child)

    def _make_nodes(self) -> None:
        missing = [one for one in self.plan.hospitals if not self._card(one[0]).exists()]
        if missing:
            self.output.say("up.making", count=len(missing))
        self._once(
            [
                (
                    member,
                    ["node", "init", str(self.place / member), "--member", member, "--name", name],
                )
                for member, name in missing
            ]
        )

    def _make_hub(self, hub: Path) -> None:
        if (hub / "invitation.json").exists():
            return
        cards = [str(self._card(member)) for member, _ in self.plan.hospitals]
        words = ["hub", "init", str(hub), "--name", self.plan.name, "--founder", *cards]
        given = {
            "--host": self.options.host,
            "--port": self.options.port,
            "--difficulty": self.options.difficulty,
        }
        for flag, value in given.items():
            words += [flag, str(value)] if value is not None else []
        self._once([("hub", words)])
        self.output.say("up.founded", count=len(cards))

    def _join(self, hub: Path) -> None:
        invitation = str(hub / "invitation.json")
        waiting = [
            (member, name)
            for member, name in self.plan.hospitals
            if not (self.place / member / "invitation.json").exists()
        ]
        self._once(
            [
                (member, ["node", "join", str(self.place / member), "--invitation", invitation])
                for member, _ in waiting
            ]
        )
        for _, name in waiting:
            self.output.say("up.joined", name=name)

    def _serve(self, processes: Sequence[tuple[str, str]]) -> None:
        children = []
        for member, name in processes:
            found = read_run(self.place / member)
            if found is not None:
                self.output.say("up.already", name=name, port=found.port, pid=found.pid)
                continue
            kind = "hub" if member == "hub" else "node"
            words = [kind, "serve", str(self.place / member)]
            child = start(words, name=name, log=self._log(member), lifeline=False)
            self.started.append(child)
            children.append(child)
        for child in children:
            port = wait_ready(child)["port"]
            self.output.say("up.running", name=child.name, port=port, pid=child.pid)

    def _once(self, commands: Sequence[tuple[str, list[str]]]) -> None:
        for first in range(0, len(commands), _AT_ONCE):
            with Children() as family:
                batch = [
                    family.start(
                        words, name=f"concura {' '.join(words[:2])}", log=self._log(member)
                    )
                    for member, words in commands[first : first + _AT_ONCE]
                ]
                for child in batch:
                    finish(child)

    def _card(self, member: str) -> Path:
        return self.place / member / "card.json"

    def _log(self, member: str) -> Path:
        return self.place / "logs" / f"{member}.out"


def _summary(place: Path, plan: Plan) -> dict[str, object]:
    runs = {member: read_run(place / member) for member in ["hub", *(m for m, _ in plan.hospitals)]}
    return {
        "folder": str(place),
        "processes": {
            member: None if found is None else {"pid": found.pid, "port": found.port}
            for member, found in runs.items()
        },
    }
