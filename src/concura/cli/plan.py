"""Who is in a consortium's folder: `consortium.json`, written before anything else, never changed.

An `up` that was killed between two hospitals goes on with the same plan.

This module does NOT make or start anything.
"""

import argparse
import json
import string
from dataclasses import dataclass
from pathlib import Path

from concura.adapters.folders import atomic_write
from concura.errors import ConfigInvalid, StoreCorrupt, say
from concura.limits import MEMBERS_MAX, NAME_MAX_CHARS

__all__ = ["Plan", "read_plan", "settle", "wish"]

_FILE = "consortium.json"
_HOSPITALS = 4


@dataclass(frozen=True, slots=True)
class Plan:
    """The consortium's name, and (member, name) of each hospital."""

    name: str
    hospitals: tuple[tuple[str, str], ...]


def wish(options: argparse.Namespace) -> Plan:
    """Read what the command line says about the hospitals; what it leaves out is the default.

    Raises:
        ConfigInvalid: too many, none, or two of one name.
    """
    names = None if options.names is None else [name.strip() for name in options.names.split(",")]
    count = len(names) if names else _HOSPITALS if options.hospitals is None else options.hospitals
    flag = "--hospitals" if names is None else "--names"
    refusal = ConfigInvalid("hospitals", name=flag, low=1, high=MEMBERS_MAX)
    if not 1 <= count <= MEMBERS_MAX or options.hospitals not in {None, count}:
        raise refusal
    plan = _plan(count, names, options.name, options.lang)
    hospitals = [name for _, name in plan.hospitals]
    if len(set(hospitals)) < count or not all(map(_is_name, [plan.name, *hospitals])):
        raise refusal
    return plan


def settle(place: Path, wished: Plan, options: argparse.Namespace) -> Plan:
    """Fix who is in a folder, or find that it is fixed.

    Args:
        place: the consortium's folder, locked by the caller.
        wished: what `wish` made of the command line.
        options: the command line; what it does not say agrees with any plan.

    Returns:
        The plan that holds.

    Raises:
        ConfigInvalid: the folder has another plan.
        StoreCorrupt: the plan is not as it was written.
    """
    plan = read_plan(place)
    if plan is None:
        hospitals = [{"member": member, "name": name} for member, name in wished.hospitals]
        said = {"name": wished.name, "hospitals": hospitals}
        atomic_write(place / _FILE, json.dumps(said, ensure_ascii=False, indent=2).encode() + b"\n")
        return wished
    differs = {
        "--name": options.name is not None and wished.name != plan.name,
        "--names": options.names is not None and wished.hospitals != plan.hospitals,
        "--hospitals": options.hospitals not in {None, len(plan.hospitals)},
    }
    for flag, is_other in differs.items():
        if is_other:
            raise ConfigInvalid("fixed", name=flag, where=str(place))
    return plan


def read_plan(place: Path) -> Plan | None:
    """Return who is in a consortium's folder, or None before it was settled.

    Raises:
        StoreCorrupt: the plan is not as it was written.
    """
    path = place / _FILE
    try:
        said = json.loads(path.read_bytes())
        hospitals = tuple((str(one["member"]), str(one["name"])) for one in said["hospitals"])
        return Plan(str(said["name"]), hospitals)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise StoreCorrupt("mark", file=str(path)) from error


def _plan(count: int, names: list[str] | None, name: str | None, lang: str) -> Plan:
    letters = string.ascii_lowercase
    marks = [letters[n] if n < len(letters) else str(n + 1) for n in range(count)]
    own = names or [say("up.default.hospital", lang, letter=mark.upper()) for mark in marks]
    members = tuple((f"hospital-{mark}", one) for mark, one in zip(marks, own, strict=True))
    return Plan(name or say("up.default.name", lang), members)


def _is_name(name: str) -> bool:
    return 0 < len(name) <= NAME_MAX_CHARS and name.isprintable()
