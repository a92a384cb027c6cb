"""`concura open FILE.sealed|- [-o TARGET] [--key FOLDER] [--trust CARD …]`: open a sealed file.

This module does NOT decrypt: `adapters/files.py` does.
"""

import argparse
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from concura.adapters.files import Unlocked, open_package, read_package, unlock
from concura.adapters.system import harden_process
from concura.adapters.targets import new_file, new_folder, open_input
from concura.cli.keyring import Names, member_cards, own_keys, public_key
from concura.cli.options import Parser, folder
from concura.cli.output import Output
from concura.cli.passage import STREAM, file_or_stream, late_progress, shown_time, to_stdout
from concura.errors import NotMember, UsageInvalid, say

__all__ = ["configure", "run"]

_SUFFIX = ".sealed"
_MODE = 0o600  # what was sealed is for its reader alone


def configure(parser: Parser) -> None:
    """Add the options of `open`."""
    parser.add_argument("source", metavar="FILE|-")
    parser.add_argument("-o", "--output", dest="target", metavar="TARGET")
    parser.add_argument("--key", dest="own", metavar="FOLDER")
    parser.add_argument("--trust", action="append", default=[], metavar="FILE")
    parser.add_argument("--consortium", type=folder, metavar="FOLDER")
    parser.add_argument("--force", action="store_true")


def run(options: argparse.Namespace) -> int:
    """Open; the target appears whole and checked, or not at all."""
    harden_process()
    output: Output = options.output
    source = file_or_stream(options.source)
    keys = own_keys(options.own, output.lang)
    trusted = _trusted(options)
    trusted.call(keys.public("sign"), say("inspect.you", output.lang))
    with open_input(source) as found:
        unlocked = unlock(read_package(found), keys)
        if unlocked.sender not in trusted.of:
            raise NotMember("sender", who=unlocked.sender, detail="")
        target = _target(options, source, unlocked)
        label, total = say("open.progress", output.lang), unlocked.manifest.size_bytes
        with (
            _place(target, unlocked, options) as (place, by_position),
            late_progress(output, label, total) as advance,
        ):
            open_package(unlocked, place, advance=advance, by_position=by_position)
    if target is not None:
        manifest = unlocked.manifest
        output.say(
            "open.done",
            target=str(target),
            sender=trusted.short(unlocked.sender),
            time=shown_time(manifest.time_ms),
        )
        output.object(
            {
                "target": str(target),
                "name": manifest.name,
                "size_bytes": manifest.size_bytes,
                "time_ms": manifest.time_ms,
                "sender": {"name": trusted.of[unlocked.sender], "fingerprint": unlocked.sender},
            }
        )
    return 0


@contextmanager
def _place(
    target: Path | None, unlocked: Unlocked, options: argparse.Namespace
) -> Iterator[tuple[int | Path, bool]]:
    with ExitStack() as stack:
        if target is None:
            yield to_stdout(options.output), False
        elif unlocked.manifest.content == "folder":
            yield stack.enter_context(new_folder(target)), False
        else:
            yield stack.enter_context(new_file(target, force=options.force, mode=_MODE)), True


def _target(options: argparse.Namespace, source: Path | None, unlocked: Unlocked) -> Path | None:
    text: str | None = options.target
    if text is None:
        if source is not None and source.suffix == _SUFFIX and source.stem:
            return source.with_suffix("")
        if source is not None or sys.stdout.isatty():
            # The name inside was chosen by somebody else: it never decides where a file goes.
            raise UsageInvalid(detail=say("cli.usage.target", options.lang))
        text = STREAM
    if text == STREAM and unlocked.manifest.content == "folder":
        raise UsageInvalid(detail=say("cli.usage.folder_out", options.lang))
    return file_or_stream(text)


def _trusted(options: argparse.Namespace) -> Names:
    names = Names()
    for card in member_cards(options.consortium, options.lang).values():
        names.call(card.sign, f"{card.name} ({card.member})")
    for text in options.trust:
        found = public_key(text, "sign", cards=None, lang=options.lang)
        key = found.of("sign")
        assert key is not None
        names.call(key, found.name)
    return names
