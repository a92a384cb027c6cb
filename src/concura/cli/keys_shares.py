"""`concura keys split|recover DIR`: shares of a key folder's root, for several people to keep.

`split` writes one file per share; `recover` puts the root back from enough of them. Only a root
that lies in a folder of files can be shared; one that a token or a cloud holds never comes out.

This module does NOT keep shares, and does NOT send them to anyone.
"""

import argparse
import os
import shutil
from pathlib import Path
from types import MappingProxyType

from concura.adapters.folders import atomic_write, disk, enter
from concura.adapters.key_folder import (
    read_root,
    read_rsa,
    read_witness,
    write_private,
    write_root,
)
from concura.adapters.key_locks import FileLock
from concura.adapters.keys_file import FileKeyStore
from concura.adapters.keys_uri import place_of
from concura.adapters.sqlite_keys import SqliteKeyTable
from concura.adapters.system import SystemRandomness, harden_process
from concura.cli.keys_table import KEY_TABLE
from concura.cli.options import Parser, folder
from concura.cli.output import Output
from concura.cli.passphrase import asking, choosing
from concura.errors import FolderUnusable, KeyUnavailable, say
from concura.limits import SHARE_MAX_CHARS
from concura.profiles import load_settings, suite_of
from concura.sealing.shamir import CHECK_BYTES, SET_BYTES, Share, combine, read_share, split

__all__ = ["ACTIONS"]


def _configure_split(parser: Parser) -> None:
    parser.add_argument("folder", type=folder)
    parser.add_argument("--threshold", type=int, required=True, metavar="K")
    parser.add_argument("--shares", type=int, required=True, metavar="N")
    parser.add_argument("--to", type=folder, required=True, metavar="FOLDER")


def _configure_recover(parser: Parser) -> None:
    parser.add_argument("folder", type=folder)
    parser.add_argument("--share", type=folder, action="append", required=True, metavar="FILE")
    parser.add_argument("--passphrase", action="store_true")


def _split(options: argparse.Namespace) -> int:
    output: Output = options.output
    target: Path = options.to
    harden_process()
    enter(options.folder, "node")
    root, _ = read_root(_key_folder(options.folder), FileLock(asking(options.lang)))
    draw = SystemRandomness().draw
    size = max(0, options.threshold - 1) * (len(root) + CHECK_BYTES)
    shares = split(
        root,
        threshold=options.threshold,
        count=options.shares,
        set_id=draw(SET_BYTES),
        coefficients=draw(size),
    )
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise FolderUnusable("occupied", folder=str(target))
    target.mkdir(parents=True, exist_ok=True, mode=0o700)
    paths = [target / f"share-{share.number}.txt" for share in shares]
    for path, share in zip(paths, shares, strict=True):
        atomic_write(path, f"{share.to_text()}\n".encode("ascii"))
    output.say("keys.split", count=len(shares), needed=options.threshold, folder=str(target))
    output.object({"shares": [str(path) for path in paths], "threshold": options.threshold})
    return 0


def _recover(options: argparse.Namespace) -> int:
    output: Output = options.output
    place: Path = options.folder
    harden_process()
    enter(place, "node")
    keys = _key_folder(place)
    if (keys / "root.key").exists():
        raise KeyUnavailable("exists", file=str(keys / "root.key"))
    root = combine(_read(path) for path in options.share)
    lock = FileLock(choosing(options.lang) if options.passphrase else None)
    is_new = not keys.exists()
    _put_back(place, keys, root, lock)
    output.say("keys.recovered", file=str(keys / "root.key"))
    if is_new:
        output.line(say("keys.recovered.new", output.lang), style="warn")
    output.object({"file": str(keys / "root.key"), "is_new": is_new})
    return 0


def _key_folder(place: Path) -> Path:
    settings = load_settings(place, environment=os.environ).settings
    found = place_of(settings.key_store, base=place)
    if found.scheme != "file":
        raise KeyUnavailable("shares_store", found=found.scheme)
    return found.folder


def _put_back(place: Path, keys: Path, root: bytes, lock: FileLock) -> None:
    """Put a root into a key folder, once it opened all that it must open."""
    unfinished = keys.with_name(f".{keys.name}.recovered")
    with disk(keys.parent):
        shutil.rmtree(unfinished, ignore_errors=True)  # of a recovery that was killed
        try:
            if keys.exists():
                shutil.copytree(keys, unfinished)
                write_root(unfinished, root, lock)
                _check(place, unfinished, lock)
                (unfinished / "root.key").replace(keys / "root.key")
            else:
                _make(unfinished, root, lock)
                _check(place, unfinished, lock)
                unfinished.rename(keys)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


def _make(folder: Path, root: bytes, lock: FileLock) -> None:
    """Make a key folder around a root; the other private keys are not in shares, and are new."""
    FileKeyStore.create(folder)
    password = write_root(folder, root, lock)
    for name in ("sign.pem", "wrap.pem"):
        write_private(folder / name, read_rsa(folder / name, None), password)
    witness = folder / "witness.pem"
    write_private(witness, read_witness(witness, None), password)


def _check(place: Path, keys: Path, lock: FileLock) -> None:
    try:
        store = FileKeyStore.open(keys, lock=lock)
        if (place / KEY_TABLE).exists():
            suite = suite_of(place, load_settings(place, environment=os.environ).settings)
            SqliteKeyTable(place / KEY_TABLE, store, SystemRandomness(), suite=suite).close()
    except KeyUnavailable as error:
        raise KeyUnavailable("shares_other", file=str(place / KEY_TABLE)) from error


def _read(path: Path) -> Share:
    try:
        with path.open("rb") as file:
            return read_share(file.read(SHARE_MAX_CHARS + 1).decode("ascii", "replace"))
    except OSError as error:
        raise KeyUnavailable("missing", file=str(path)) from error


ACTIONS = MappingProxyType(
    {"split": (_configure_split, _split), "recover": (_configure_recover, _recover)}
)
