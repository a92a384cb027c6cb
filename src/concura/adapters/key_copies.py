"""Backups of the record store and of its key table, and putting them back.

Two backups, kept apart: that of the records holds no key, that of the key table no record. A backup
of the key table replaces the one before it and is good for 30 days (`KEY_BACKUP_WINDOW_MS`): an
older one may hold keys of patients whose erasure is complete, and is refused. Putting either back
cannot bring an erased key back: the erasure lists of both files, and of receipts, are replayed.

This module does NOT wipe a backup that the operator copied elsewhere: `Erasure.complete_ms` is the
day by which they must have.
"""

import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from concura.adapters.folders import disk
from concura.adapters.sqlite import Database
from concura.adapters.sqlite_copies import copy_file, put_in_place
from concura.adapters.sqlite_keys import SqliteKeyTable
from concura.adapters.sqlite_records import SqliteRecords
from concura.errors import ConcuraError, FolderUnusable, KeyUnavailable, StoreCorrupt
from concura.limits import KEY_BACKUP_WINDOW_MS
from concura.ports import KeyStore, Randomness
from concura.sealing import AES, Erasure, Suite

__all__ = ["Copy", "back_up_records", "back_up_table", "copies", "restore_records", "restore_table"]

_TABLE, _RECORDS = "keys.db", "records.db"


@dataclass(frozen=True, slots=True)
class Copy:
    """A backup of the key table that was made here and is still there: where, and when."""

    place: Path
    made_ms: int


def back_up_records(records: SqliteRecords, target: Path) -> None:
    """Copy the records while they are in use; without any key.

    Raises:
        StoreFull, FolderUnusable: it cannot be written; an older copy is untouched.
    """
    copy_file(records.file, target)


def back_up_table(table: SqliteKeyTable, target: Path, *, now_ms: int) -> None:
    """Copy the key table while it is in use.

    Args:
        table: the key table.
        target: the copy; one that is there is replaced. It opens with the key store's root alone.
        now_ms: the time; stands in the copy.

    Raises:
        StoreFull, FolderUnusable: it cannot be written; an older copy is untouched.
    """
    # Remembered first: of a copy that was made and not remembered nobody would be reminded.
    line = (str(target.absolute()), now_ms)
    table.file.write_now(
        lambda db: db.execute("INSERT OR REPLACE INTO copies VALUES (?, ?)", line) and None
    )
    copy_file(
        table.file,
        target,
        change=lambda db: db.execute(
            "INSERT OR REPLACE INTO state VALUES ('copied_ms', ?)", (now_ms,)
        ),
    )


def copies(table: SqliteKeyTable) -> list[Copy]:
    """Return the backups of the key table that were made here and are still where they were put."""
    found = [Copy(Path(place), made) for place, made in table.file.read("SELECT * FROM copies")]
    return [copy for copy in found if copy.place.exists()]


def restore_table(
    folder: Path,
    source: Path,
    *,
    keystore: KeyStore,
    randomness: Randomness,
    now_ms: int,
    erasures: Iterable[Erasure] = (),
    replace: bool = False,
    suite: Suite = AES,
) -> None:
    """Put a backup of the key table back; nobody may be using the folder.

    Args:
        folder: of the record store.
        source: from `back_up_table`; stays as it is.
        keystore: the one whose root wrapped it.
        randomness: for keys.
        now_ms: the time.
        erasures: from receipts of erasures that are younger than every file here.
        replace: also where there is a key table that can be opened; the keys of patients who are
            in that one only are lost.
        suite: the consortium's.

    Raises:
        KeyUnavailable: `backup`: it is no backup of a key table; `backup_old`: older than 30 days;
            `table_present`; `wrapped`: another key store's.
        StoreCorrupt: damaged.
    """
    lines = list(erasures)
    target = folder / _TABLE
    if target.exists():
        present = _present(target, keystore, randomness, suite)
        if present is not None and not replace:
            raise KeyUnavailable("table_present", file=str(target))
        lines += present or []
    part = _take(source, target)
    try:
        _check_age(part, now_ms)
        table = SqliteKeyTable(part, keystore, randomness, suite=suite)
        try:
            table.replay(lines, now_ms=now_ms)
            table.file.write_now(
                lambda db: db.execute("DELETE FROM state WHERE name = 'copied_ms'") and None
            )
        finally:
            table.close()
    except BaseException:
        _remove(part)
        raise
    put_in_place(part, target)
    if (folder / _RECORDS).exists():
        # The records' own erasure list is replayed by this opening, as by every other.
        SqliteRecords(folder, keystore, randomness, suite=suite).close()


def restore_records(
    folder: Path,
    source: Path,
    *,
    keystore: KeyStore,
    randomness: Randomness,
    now_ms: int,
    erasures: Iterable[Erasure] = (),
    replace: bool = False,
    suite: Suite = AES,
) -> int:
    """Put a backup of the records back; nobody may be using the folder.

    Args:
        folder: of the record store; it must hold the key table.
        source: from `back_up_records`; stays as it is.
        keystore: the one whose root wrapped the key table.
        randomness: for keys.
        now_ms: the time.
        erasures: from receipts of erasures that are younger than every file here.
        replace: also where there are records.
        suite: the consortium's.

    Returns:
        How many patients it holds whose keys are not there: registered after the backup of the key
        table that was put back.

    Raises:
        KeyUnavailable: `missing`: there is no key table.
        FolderUnusable: `present`: there are records.
        StoreCorrupt: damaged, or the records of another key table.
    """
    target, keys = folder / _RECORDS, folder / _TABLE
    if not keys.exists():
        raise KeyUnavailable("missing", file=str(keys))
    if target.exists() and not replace:
        raise FolderUnusable("present", folder=str(target))
    part = _take(source, target)
    try:
        table = SqliteKeyTable(keys, keystore, randomness, suite=suite)
        try:
            pages = table.store_key("pages")
        finally:
            table.close()
        found = Database(part, schema=(), key=pages, version=2)
        try:
            found.read("SELECT count(*) FROM erasures")
        finally:
            found.close()
    except BaseException:
        _remove(part)
        raise
    put_in_place(part, target)
    records = SqliteRecords(folder, keystore, randomness, suite=suite)
    try:
        records.replay(erasures, now_ms=now_ms)
        table = records.table
        return sum(table.patient_keys(patient) is None for patient in records.patients())
    finally:
        records.close()


def _present(
    path: Path, keystore: KeyStore, randomness: Randomness, suite: Suite
) -> list[Erasure] | None:
    """Return the erasure list of a key table that can be opened, else None."""
    try:
        table = SqliteKeyTable(path, keystore, randomness, suite=suite)
    except ConcuraError:
        return None
    try:
        return table.erasures()
    finally:
        table.close()


def _take(source: Path, target: Path) -> Path:
    """Copy a backup beside its place."""
    part = target.with_name(f".{target.name}.part")
    with disk(target.parent):
        _remove(part)
        if not source.is_file() or source.stat().st_size == 0:
            # SQLite would make a fresh database of an empty file.
            raise StoreCorrupt(file=str(source), detail="empty")
        with source.open("rb") as old, part.open("xb") as new:
            os.fchmod(new.fileno(), 0o600)
            shutil.copyfileobj(old, new, 1 << 20)
    return part


def _check_age(part: Path, now_ms: int) -> None:
    found = Database(part, schema=(), version=2)
    try:
        made = found.read_value("SELECT value FROM state WHERE name = 'copied_ms'")
    except ConcuraError as error:
        raise KeyUnavailable("backup", file=str(part)) from error
    finally:
        found.close()
    if type(made) is not int:
        raise KeyUnavailable("backup", file=str(part))
    if now_ms - made > KEY_BACKUP_WINDOW_MS:
        days = (now_ms - made) // (24 * 3_600_000)
        raise KeyUnavailable("backup_old", days=days, most=KEY_BACKUP_WINDOW_MS // (24 * 3_600_000))


def _remove(part: Path) -> None:
    for end in ("", "-wal", "-shm", "-journal"):
        with suppress(OSError):
            part.with_name(part.name + end).unlink()
