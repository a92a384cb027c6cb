"""`concura demo`: the whole story on this machine, with real processes, keys, TLS and data.

It builds a consortium in a folder, plays collect, seal, record, share, learn, decide and check, and
stops everything, however it ends. The folder stays only with `--keep`.

This module does NOT do the work of a stage: see `concura.cli.story`.
"""

import argparse
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from concura._version import __version__
from concura.adapters.folders import atomic_write, disk
from concura.cli.options import Parser, folder
from concura.cli.output import Output
from concura.errors import FolderUnusable, NotFound, StudyRefused, UsageInvalid, say

if TYPE_CHECKING:
    from concura.adapters.table_files import TableFolder
    from concura.cli.story import Teller, Town

__all__ = ["configure", "run"]

_HOSPITALS_MIN = 3
_SEED_MAX = 2**53
_ROUNDS = (10, 1_000)


def configure(parser: Parser) -> None:
    """Add the options of `demo`."""
    parser.add_argument("--data", type=folder, metavar="DIR")
    parser.add_argument("--mapping", type=folder, metavar="FILE")
    parser.add_argument("--preset", choices=["default", "mission"], default="default")
    parser.add_argument("--rounds", type=int, metavar="N")
    parser.add_argument("--seed", type=int, default=7, metavar="N")
    parser.add_argument("--difficulty", type=int, metavar="BITS")
    parser.add_argument("--patient", metavar="NUMBER")
    parser.add_argument("--keep", type=folder, metavar="DIR")
    parser.add_argument("--report", type=folder, metavar="FILE")


def run(options: argparse.Namespace) -> int:
    """Play the story."""
    output: Output = options.output
    # The first line comes before anything that takes time.
    output.line(say("story.title", output.lang), style="strong")
    _check(options)
    from concura.adapters.system import harden_process  # noqa: PLC0415 - after the first line

    harden_process()
    table = _read(options)
    report = _report_path(options)
    with _place(options.keep) as place:
        _play(place, table, report, options)
    return 0


def _check(options: argparse.Namespace) -> None:
    """Refuse what cannot work before anything is made."""
    from concura.profiles import load_settings  # noqa: PLC0415 - after the first line

    if not 0 <= options.seed < _SEED_MAX:
        raise UsageInvalid(detail=say("cli.usage.seed", options.lang))
    if options.rounds is not None and not _ROUNDS[0] <= options.rounds <= _ROUNDS[1]:
        raise UsageInvalid(detail=say("cli.usage.rounds", options.lang))
    if options.mapping is not None and options.data is None:
        raise UsageInvalid(detail=say("cli.usage.mapping", options.lang))
    flags = {"difficulty_bits": options.difficulty}
    load_settings(None, environment=os.environ, flags=flags)
    if options.keep is not None:
        _check_keep(options.keep)


def _check_keep(keep: Path) -> None:
    """Refuse a folder that cannot become the consortium's; it is made later."""
    with disk(keep):
        if keep.is_dir() and any(keep.iterdir()):
            raise FolderUnusable("foreign", folder=str(keep))
        there = next(path for path in (keep, *keep.parents) if path.exists())
        if not there.is_dir():
            raise FolderUnusable("file", folder=str(there))
        if not _is_writable(there):
            raise FolderUnusable("readonly", folder=str(there))


def _read(options: argparse.Namespace) -> "TableFolder":
    from concura.adapters.table_files import (  # noqa: PLC0415 - after the first line
        load_mapping,
        read_folder,
        shipped_folder,
    )
    from concura.records import record_number  # noqa: PLC0415 - after the first line

    if options.data is None:
        table = shipped_folder()
    else:
        mapping = None if options.mapping is None else load_mapping(options.mapping)
        table = read_folder(options.data, mapping)
    if len(table.rows) < _HOSPITALS_MIN:
        raise StudyRefused("few", found=len(table.rows), minimum=_HOSPITALS_MIN)
    if options.patient is not None and not any(
        record_number(resources) == options.patient
        for hospital in table.rows
        for resources in table.resources(hospital)
    ):
        raise NotFound("patient_number", what="patient")
    return table


def _report_path(options: argparse.Namespace) -> Path:
    """Choose where the report goes: it outlives the folder."""
    if options.report is not None:
        path: Path = options.report
        if path.is_dir() or not path.parent.is_dir() or not _is_writable(path.parent):
            raise FolderUnusable("report", folder=str(path.parent))
        return path
    if options.keep is not None:
        return Path(options.keep) / "report.html"
    return Path(tempfile.gettempdir()) / f"concura-report-{os.getpid()}.html"


def _is_writable(path: Path) -> bool:
    # Asked for the rights that the writing itself will have, where the system can say.
    return os.access(path, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids)


@contextmanager
def _place(keep: Path | None) -> Iterator[Path]:
    """Give the story a folder; one that is not kept is gone afterwards, also after a fault."""
    if keep is not None:
        yield keep
        return
    scratch = Path(tempfile.mkdtemp(prefix="concura-"))
    try:
        yield scratch / "consortium"
    finally:
        try:
            shutil.rmtree(scratch, ignore_errors=True)
        except BaseException:  # Ctrl-C in its middle: keys and records must not lie about
            shutil.rmtree(scratch, ignore_errors=True)
            raise


def _play(place: Path, table: "TableFolder", report: Path, options: argparse.Namespace) -> None:
    from concura.adapters.processes import Children  # noqa: PLC0415 - after the first line
    from concura.cli.story import Teller, Town  # noqa: PLC0415 - after the first line
    from concura.web.report import render, summary  # noqa: PLC0415 - after the first line

    output: Output = options.output
    teller = Teller(output)
    with Children() as family:
        names = table.names(output.lang)
        town = Town(place, names, family, lang=output.lang)
        _stages(town, table, teller, options)
    story = teller.story
    story["seconds"]["total"] = round(teller.seconds(), 2)
    order = ("collect", "seal", "record", "share", "learn", "decide")
    story["road"].sort(key=lambda stop: order.index(stop["stage"]))
    atomic_write(report, render(story, lang=output.lang).encode(), mode=0o600)
    output.object(summary(story, report=str(report)))
    output.line(say("story.done", output.lang, seconds=f"{teller.seconds():.1f}"), style="quiet")
    if options.keep is not None:
        output.line(say("story.kept", output.lang, place=str(place)), style="quiet")
    output.line(story["decision"]["line"][output.lang], style="strong")
    output.line(say("story.report", output.lang, path=str(report)))


def _stages(
    town: "Town", table: "TableFolder", teller: "Teller", options: argparse.Namespace
) -> None:
    from concura.cli.story import (  # noqa: PLC0415 - after the first line
        play_check,
        play_decision,
        play_learning,
        play_sharing,
    )
    from concura.cli.story.check import cohorts_of  # noqa: PLC0415 - after the first line
    from concura.cli.story.collect import play_collection  # noqa: PLC0415 - after the first line

    story = teller.story
    now = datetime.now(UTC).replace(microsecond=0)  # noqa: TID251 - a command's own clock
    story |= {
        "version": __version__,
        "seed": options.seed,
        "created": now.isoformat().replace("+00:00", "Z"),
    }
    with teller.stage("found", 0):
        name = say("story.consortium", options.lang)
        label = say("story.found.progress", options.lang)
        with options.output.progress(label, town.steps) as advance:
            town.build(
                name=name,
                difficulty=options.difficulty,
                environment=os.environ,
                advance=advance,
            )
            town.start(advance)
        teller.line("story.founded", count=len(town.names), words=town.invitation.words)
    with teller.stage("collect", 1):
        cohorts = cohorts_of(table)
        play_collection(town, table, cohorts, teller, data=options.data, mapping=options.mapping)
    with teller.stage("share", 2):
        play_sharing(town, table, teller)
    with teller.stage("learn", 3):
        learned = play_learning(
            town, table, teller, preset=options.preset, seed=options.seed, rounds=options.rounds
        )
    with teller.stage("decide", 4):
        play_decision(town, table, learned, teller, patient=options.patient)
    with teller.stage("check", 5):
        play_check(town, cohorts, learned, teller)
