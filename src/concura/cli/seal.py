"""`concura seal FILE|FOLDER|- --to READER … [-o FILE.sealed]`: seal to readers.

This module does NOT encrypt: `adapters/files.py` does.
"""

import argparse
import os
import sys
from contextlib import ExitStack
from pathlib import Path

from concura.adapters.files import seal_package
from concura.adapters.system import SystemClock, SystemRandomness, harden_process
from concura.adapters.targets import Input, copy_out, new_file, open_input, spool
from concura.cli.keyring import Names, member_cards, own_keys, public_key
from concura.cli.options import Parser, folder
from concura.cli.output import Output
from concura.cli.passage import STREAM, file_or_stream, late_progress, to_stdout
from concura.errors import UsageInvalid, say
from concura.sealing.package import is_file_name

__all__ = ["configure", "run"]

_SUFFIX = ".sealed"


def configure(parser: Parser) -> None:
    """Add the options of `seal`."""
    parser.add_argument("source", metavar="FILE|FOLDER|-")
    parser.add_argument("--to", action="append", required=True, metavar="READER")
    parser.add_argument("-o", "--output", dest="target", metavar="FILE")
    parser.add_argument("--from", dest="own", metavar="FOLDER")
    parser.add_argument("--consortium", type=folder, metavar="FOLDER")
    parser.add_argument("--force", action="store_true")


def run(options: argparse.Namespace) -> int:
    """Seal; the target appears whole or not at all."""
    mode = _mode()
    harden_process()
    output: Output = options.output
    source = file_or_stream(options.source)
    target = _target(options, source)
    keys = own_keys(options.own, output.lang)
    names, readers = _readers(options)
    with ExitStack() as stack:
        if source is not None and source.is_dir():
            what: Input | Path = source
            total = None
        else:
            what = stack.enter_context(open_input(source))
            total = what.size_bytes
        stdout = to_stdout(output) if target is None else None
        handle = stack.enter_context(
            spool() if target is None else new_file(target, force=options.force, mode=mode)
        )
        advance = stack.enter_context(
            late_progress(output, say("seal.progress", output.lang), total)
        )
        record = seal_package(
            what,
            handle,
            name=source.name if source is not None and is_file_name(source.name) else "",
            keys=keys,
            recipients=readers,
            randomness=SystemRandomness(),
            time_ms=SystemClock().now_ms(),
            advance=advance,
        )
        if stdout is not None:
            copy_out(handle, stdout)
    if target is not None:
        called = ", ".join(names.short(reader) for reader in record.recipients)
        output.say("seal.done", target=str(target), readers=called)
        output.object(
            {
                "target": str(target),
                "digest": record.digest,
                "readers": [{"name": names.of[r], "fingerprint": r} for r in record.recipients],
            }
        )
    return 0


def _target(options: argparse.Namespace, source: Path | None) -> Path | None:
    text: str | None = options.target
    if text is None:
        text = STREAM if source is None else f"{source}{_SUFFIX}"
    if text == STREAM and sys.stdout.isatty():
        raise UsageInvalid(detail=say("cli.usage.terminal", options.lang))
    return file_or_stream(text)


def _readers(options: argparse.Namespace) -> tuple[Names, list[bytes]]:
    place, lang = options.consortium, options.lang
    cards = None if place is None else member_cards(place, lang, wanted=options.to)
    names, readers = Names(), dict[bytes, None]()
    for text in options.to:
        found = public_key(text, "wrap", cards=cards, lang=lang)
        key = found.of("wrap")
        assert key is not None
        names.call(key, found.name)
        readers[key] = None  # who is named twice reads once
    return names, list(readers)


def _mode() -> int:
    """Return the permissions that any new file gets here; hardening leaves the owner's alone."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
