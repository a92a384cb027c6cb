"""Copies of an SQLite file: SQLite's online backup, checked, and in place whole or not at all.

Writers go on while a copy is made; it holds one moment's state. Encrypted pages stay encrypted
under the same key.

This module does NOT know what the file holds, and does NOT decide how long a copy is kept.
"""

import os
from collections.abc import Callable
from pathlib import Path

import apsw

from concura.adapters.folders import disk
from concura.adapters.sqlite import Database, scalar
from concura.errors import FolderUnusable, StoreCorrupt

__all__ = ["copy_file", "put_in_place"]

_BESIDE = ("-wal", "-shm", "-journal")


def copy_file(
    database: Database, target: Path, *, change: Callable[[apsw.Connection], object] | None = None
) -> None:
    """Copy a database that is in use.

    Args:
        database: what to copy.
        target: the copy, of mode 600; one that is there is replaced once the new one is whole.
        change: what to do to the copy before it is put in place.

    Raises:
        StoreCorrupt: the copy does not pass SQLite's own check.
        StoreFull, FolderUnusable: it cannot be written; an older copy is untouched.

    Example:
        >>> copy_file(database, Path("backup/records.db"))  # doctest: +SKIP
    """
    if target.exists() and target.samefile(database.path):
        raise FolderUnusable("itself", folder=str(target))
    part = target.with_name(f".{target.name}.part")
    with disk(target.parent):
        _remove(part)
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    try:
        with database.errors():
            _copy(database, part, change)
        put_in_place(part, target)
    except BaseException:
        with disk(target.parent):
            _remove(part)
        raise


def put_in_place(part: Path, target: Path) -> None:
    """Rename a closed database file over another, durably; the other's log goes first.

    Args:
        part: the new file, in the same folder.
        target: its name from now on. Nobody may have it open.

    Raises:
        FolderUnusable, StoreFull: the folder cannot be written.
    """
    with disk(target.parent):
        handle = os.open(part, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        for end in _BESIDE:  # another file's log would be played into this one
            target.with_name(target.name + end).unlink(missing_ok=True)
        part.replace(target)
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _copy(
    database: Database, part: Path, change: Callable[[apsw.Connection], object] | None
) -> None:
    source = database.connect()
    try:
        copy = database.connect(part)
        try:
            with copy.backup("main", source, "main") as work:
                work.step()  # all at once: a copy in steps starts anew with every write
            # One file, without a log beside it.
            copy.execute("PRAGMA journal_mode = DELETE").fetchall()
            if change is not None:
                with copy:
                    change(copy)
            if scalar(copy, "PRAGMA quick_check") != "ok":
                raise StoreCorrupt(file=str(database.path), detail="quick_check")
        finally:
            copy.close()
    finally:
        source.close()


def _remove(part: Path) -> None:
    for end in ("", *_BESIDE):
        part.with_name(part.name + end).unlink(missing_ok=True)
