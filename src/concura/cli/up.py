"""`concura up DIR`: a hub and its hospitals in one folder, started and left running.

It runs the commands that operators of separate machines would run: `node init`, `hub init`,
`hub serve`, `node join`, `node serve`. Each step that is done already is left out, so that running
it again goes on where it was killed and restarts what is missing.

This module does NOT know how a hub or node works.
"""

import argparse
import json
import os
import string
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from concura.adapters.folders import atomic_write, claim, disk
from concura.adapters.locks import Lock
from concura.adapters.processes import Child, Children, finish, release, start, stop, wait_ready
from concura.adapters.running import read_run
from concura.cli.options import Parser, folder
from concura.cli.output import Output
from concura.errors import AlreadyRunning, ConfigInvalid, StoreCorrupt, say
from concura.limits import MEMBERS_MAX, NAME_MAX_CHARS
from concura.profiles import SETTINGS_FILE, load_settings

__all__ = ["Plan", "configure", "read_plan", "run"]

_PLAN = "consortium.json"
_HOSPITALS = 4
_AT_ONCE = 4  # commands that make keys side by side


@dataclass(frozen=True, slots=True)
class Plan:
    """Who is in a consortium's folder; written before anything else, and never changed."""

    name: str
    hospitals: tuple[tuple[str, str], ...]  # (member, name)


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
    wished = _wish(options)
    claim(place, "consortium")
    try:
        with Lock(place):
            plan = _settle(place, wished)
            _Builder(place, plan, output, options).bring_up()
    except AlreadyRunning as busy:
        if busy.values.get("folder") == str(place):
            raise AlreadyRunning("busy", **busy.values) from busy
        raise
    output.object(_summary(place, plan))
    output.say("up.done", folder=str(place))
    return 0


def read_plan(place: Path) -> Plan | None:
    """Return who is in a consortium's folder, or None before it was settled.

    Raises:
        StoreCorrupt: the plan is not as it was written.
    """
    path = place / _PLAN
    try:
        said = json.loads(path.read_bytes())
        return Plan(said["name"], tuple((one["member"], one["name"]) for one in said["hospitals"]))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise StoreCorrupt("mark", file=str(path)) from error


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
        for member, name in self.plan.hospitals:
            if (self.place / member / "invitation.json").exists():
                continue
            words = ["node", "join", str(self.place / member), "--invitation", invitation]
            self._once([(member, words)])
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


def _wish(options: argparse.Namespace) -> Plan | None:
    """What the command line says about the hospitals; None where it says nothing."""
    names = None if options.names is None else [name.strip() for name in options.names.split(",")]
    count = options.hospitals if names is None else len(names)
    if count is None and options.name is None:
        return None
    flag = "--names" if names is not None else "--hospitals"
    count = _HOSPITALS if count is None else count
    if not 1 <= count <= MEMBERS_MAX or (
        options.hospitals is not None and count != options.hospitals
    ):
        raise ConfigInvalid("hospitals", name=flag, low=1, high=MEMBERS_MAX)
    plan = _plan(count, names, options.name, options.lang)
    given = [plan.name, *(name for _, name in plan.hospitals)]
    if len(set(given[1:])) < count or not all(0 < len(name) <= NAME_MAX_CHARS for name in given):
        raise ConfigInvalid("hospitals", name=flag, low=1, high=MEMBERS_MAX)
    return plan


def _plan(count: int, names: list[str] | None, name: str | None, lang: str) -> Plan:
    letters = string.ascii_lowercase
    marks = [letters[n] if n < len(letters) else str(n + 1) for n in range(count)]
    own = names or [say("up.default.hospital", lang, letter=mark.upper()) for mark in marks]
    members = tuple((f"hospital-{mark}", one) for mark, one in zip(marks, own, strict=True))
    return Plan(name or say("up.default.name", lang), members)


def _settle(place: Path, wished: Plan | None) -> Plan:
    plan = read_plan(place)
    if plan is None:
        plan = wished or _plan(_HOSPITALS, None, None, "en")
        said = {
            "name": plan.name,
            "hospitals": [{"member": member, "name": name} for member, name in plan.hospitals],
        }
        if not (place / SETTINGS_FILE).exists():
            atomic_write(place / SETTINGS_FILE, b"# docs/operations/settings.md\n", mode=0o600)
        atomic_write(place / _PLAN, json.dumps(said, ensure_ascii=False, indent=2).encode() + b"\n")
        with disk(place):
            (place / "logs").mkdir(exist_ok=True, mode=0o700)
    elif wished is not None and wished != plan:
        raise ConfigInvalid("fixed", name="--hospitals/--names/--name", where=str(place))
    return plan


def _summary(place: Path, plan: Plan) -> dict[str, object]:
    runs = {member: read_run(place / member) for member in ["hub", *(m for m, _ in plan.hospitals)]}
    return {
        "folder": str(place),
        "processes": {
            member: None if found is None else {"pid": found.pid, "port": found.port}
            for member, found in runs.items()
        },
    }
