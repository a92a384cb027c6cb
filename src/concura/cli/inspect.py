"""`concura inspect FILE.sealed [--key FOLDER]`: what a sealed file shows, and to whom.

Outside stand the readers' fingerprints, a random number and lengths: not the sender, not the time.
With a reader's key also what stands inside the record; the stream is not read.

This module does NOT open the stream.
"""

import argparse

from concura.adapters.files import Package, Unlocked, read_package, unlock
from concura.adapters.system import harden_process
from concura.adapters.targets import open_input
from concura.cli.keyring import Names, member_cards, own_keys, read_public
from concura.cli.options import Parser, folder
from concura.cli.output import Output
from concura.cli.passage import file_or_stream, shown_time
from concura.errors import say
from concura.types import JsonObject

__all__ = ["configure", "run"]


def configure(parser: Parser) -> None:
    """Add the options of `inspect`."""
    parser.add_argument("source", metavar="FILE|-")
    parser.add_argument("--key", dest="own", metavar="FOLDER")
    parser.add_argument("--trust", action="append", default=[], metavar="FILE")
    parser.add_argument("--consortium", type=folder, metavar="FOLDER")


def run(options: argparse.Namespace) -> int:
    """Say what can be known of a sealed file."""
    harden_process()
    output: Output = options.output
    names = _names(options)
    keys = None
    if options.own is not None:
        keys = own_keys(options.own, output.lang)
        for use in ("wrap", "sign"):
            names.call(keys.public(use), say("inspect.you", output.lang))
    with open_input(file_or_stream(options.source)) as source:
        package = read_package(source)
        unlocked = unlock(package, keys) if keys is not None else None
    _say_outside(output, package, names)
    found = _outside(package, names)
    if unlocked is not None:
        _say_inside(output, unlocked, names)
        found["inside"] = _inside(unlocked, names)
    output.object(found)
    return 0


def _names(options: argparse.Namespace) -> Names:
    names = Names()
    for card in member_cards(options.consortium, options.lang).values():
        for key in (card.wrap, card.sign):
            names.call(key, f"{card.name} ({card.member})")
    for text in options.trust:
        found = read_public(folder(text))
        for key in found.keys.values():
            names.call(key, found.name)
    return names


def _outside(package: Package, names: Names) -> JsonObject:
    return {
        "format": 1,
        "readers": [
            {"name": names.of.get(reader), "fingerprint": reader}
            for reader in package.record.recipients
        ],
        "transfer": package.record.transfer,
        "digest": package.record.digest,
        "stream_bytes": package.stream_bytes,
    }


def _say_outside(output: Output, package: Package, names: Names) -> None:
    record = package.record
    output.say("inspect.readers")
    for reader in record.recipients:
        name = names.name(reader, output.lang)
        output.say("inspect.reader", name=name, fingerprint=reader)
    output.say("inspect.digest", digest=record.digest)
    if package.stream_bytes is not None:
        output.say("inspect.length", bytes=package.stream_bytes)
    output.say("inspect.outside", transfer=record.transfer)


def _inside(unlocked: Unlocked, names: Names) -> JsonObject:
    manifest = unlocked.manifest
    return {
        "content": manifest.content,
        "name": manifest.name,
        "size_bytes": manifest.size_bytes,
        "time_ms": manifest.time_ms,
        "root": manifest.root,
        "sender": {"name": names.of.get(unlocked.sender), "fingerprint": unlocked.sender},
    }


def _say_inside(output: Output, unlocked: Unlocked, names: Names) -> None:
    manifest, lang = unlocked.manifest, output.lang
    name = manifest.name or say("inspect.nameless", lang)
    key = "inspect.file" if manifest.content == "file" else "inspect.folder"
    output.say(
        "inspect.inside",
        what=say(key, lang, name=name),
        bytes=manifest.size_bytes,
        time=shown_time(manifest.time_ms),
    )
    sender = unlocked.sender
    output.say("inspect.sender", name=names.name(sender, lang), fingerprint=sender)
    output.say("inspect.unchecked")
