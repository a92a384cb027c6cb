"""Folders that Concura owns: claimed with a kind and a format number, written atomically.

`format.json` says whose folder it is. An older format is migrated after a copy was put beside it, a
newer one is refused, a folder with anything else in it is never touched.

This module does NOT know what the folders hold; who serves them is `running.py`.
"""

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from concura.adapters.locks import Lock
from concura.errors import ConcuraError, FolderFormat, FolderUnusable, StoreCorrupt, StoreFull

__all__ = [
    "FORMAT",
    "KINDS",
    "MIGRATIONS",
    "Folder",
    "atomic_write",
    "claim",
    "disk",
    "enter",
    "kind_of",
    "log_file",
]

FORMAT = 1
KINDS = ("hub", "node", "consortium")
_MARK = "format.json"
_FOLDER_MODE = 0o700  # keys and records lie inside
_PASSING = ("lock", "run.json", "logs")  # not part of a copy

Migration = Callable[[Path], None]
# (kind, format) -> what turns that format into the next one. MUST be repeatable: a migration that
# was killed runs again from its start, because the format number is written last.
MIGRATIONS: Mapping[tuple[str, int], Migration] = {}

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_WHY = {
    errno.EACCES: "readonly",
    errno.EPERM: "readonly",
    errno.EROFS: "readonly",
    errno.ENOTDIR: "file",
    errno.EEXIST: "file",
    errno.ENOENT: "missing",
    errno.ENAMETOOLONG: "name",
    errno.ELOOP: "name",
    errno.EINVAL: "name",
}


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder that is ours: where it is, what it is for, whether it was just made."""

    path: Path
    kind: str
    is_new: bool


def claim(
    path: Path, kind: str, *, migrations: Mapping[tuple[str, int], Migration] = MIGRATIONS
) -> Folder:
    """Make a folder ours, or find that it is; bring an older format up to date.

    Args:
        path: the folder; made when it is missing, with its parents, readable by its owner alone.
        kind: `hub`, `node` or `consortium`.
        migrations: the table of migrations.

    Returns:
        The folder.

    Raises:
        FolderUnusable: it holds something else, is a file, or cannot be written.
        FolderFormat: a newer version wrote it, or no migration leads from its format.
        StoreFull: the disk is full.

    Example:
        >>> claim(Path("consortium"), "consortium").kind  # doctest: +SKIP
        'consortium'
    """
    with disk(path):
        path.mkdir(parents=True, exist_ok=True, mode=_FOLDER_MODE)
        if (path / _MARK).exists():
            return enter(path, kind, migrations=migrations)
        if any(not _is_remnant(item.name) for item in path.iterdir()):
            raise FolderUnusable("foreign", folder=str(path))
        _mark(path, kind, FORMAT)
    return Folder(path, kind, is_new=True)


def enter(
    path: Path, kind: str, *, migrations: Mapping[tuple[str, int], Migration] = MIGRATIONS
) -> Folder:
    """Take a folder that must be ours already; bring an older format up to date.

    Args:
        path: the folder.
        kind: what it must be.
        migrations: the table of migrations.

    Raises:
        FolderUnusable: missing, or of another kind.
        FolderFormat: a newer version wrote it, or no migration leads from its format.
        StoreFull: there is no room for the copy before a migration.
    """
    with disk(path):
        found, number = _read_mark(path)
        if found != kind:
            raise FolderUnusable("kind", folder=str(path), found=found, expected=kind)
        if number > FORMAT:
            raise FolderFormat(folder=str(path), found=number, known=FORMAT)
        if number < FORMAT:
            _migrate(path, kind, number, migrations)
    return Folder(path, kind, is_new=False)


def kind_of(path: Path) -> str | None:
    """Return what a folder is for, or None when it is none of ours."""
    try:
        return _read_mark(path)[0]
    except (ConcuraError, OSError):
        return None


def log_file(path: Path) -> Path:
    """Return where the process that serves a folder writes its log.

    Inside a consortium's folder all logs lie together in its `logs`; else in the folder's own.
    """
    together = kind_of(path.parent) == "consortium"
    return (path.parent if together else path) / "logs" / f"{path.name}.jsonl"


def atomic_write(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Write a file whole or not at all, durably.

    Args:
        path: the file; its folder must exist.
        data: what it shall hold.
        mode: its permissions.

    Raises:
        StoreFull: no room; the old file is untouched.
        FolderUnusable: the folder is missing or read-only.
    """
    with disk(path.parent):
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fchmod(file.fileno(), mode)
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            with suppress(OSError):
                Path(name).unlink()
            raise
        _sync_folder(path.parent)


@contextmanager
def disk(path: Path) -> Iterator[None]:
    """Turn what a disk may say into an error that a person understands.

    Args:
        path: the folder that the work is about.

    Raises:
        StoreFull: no room.
        FolderUnusable: everything else that the system refuses.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StoreFull(folder=str(path)) from error
        why = _WHY.get(error.errno or 0, "")
        raise FolderUnusable(why, folder=str(path), detail=error.strerror or "I/O") from error


def _is_remnant(name: str) -> bool:
    # A claim that was killed leaves its unfinished mark; logs may be made before the claim.
    return name in _PASSING or (name.startswith(f".{_MARK}.") and name.endswith(".part"))


def _mark(path: Path, kind: str, number: int) -> None:
    text = json.dumps({"concura": kind, "format": number}) + "\n"
    atomic_write(path / _MARK, text.encode())


def _read_mark(path: Path) -> tuple[str, int]:
    if not path.is_dir():
        raise FolderUnusable("file" if path.exists() else "missing", folder=str(path))
    if not (path / _MARK).exists():
        raise FolderUnusable("foreign", folder=str(path))
    try:
        mark = json.loads((path / _MARK).read_bytes())
        kind, number = mark["concura"], mark["format"]
    except (ValueError, TypeError, KeyError) as error:
        raise StoreCorrupt("mark", file=str(path / _MARK)) from error
    if kind not in KINDS or type(number) is not int or number < 0:
        raise StoreCorrupt("mark", file=str(path / _MARK))
    return kind, number


def _migrate(
    path: Path, kind: str, number: int, migrations: Mapping[tuple[str, int], Migration]
) -> None:
    if any((kind, step) not in migrations for step in range(number, FORMAT)):
        raise FolderFormat("old", folder=str(path), found=number, known=FORMAT)
    # Nobody may serve the folder while it changes under them.
    with Lock(path):
        _copy_beside(path, number)
        for step in range(number, FORMAT):
            migrations[kind, step](path)
            _mark(path, kind, step + 1)


def _copy_beside(path: Path, number: int) -> None:
    copy = path.with_name(f"{path.name}.format-{number}")
    if copy.exists():  # of a migration that was killed: the copy is whole, because of the rename
        return
    unfinished = copy.with_name(f".{copy.name}.part")
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.copytree(path, unfinished, symlinks=True, ignore=shutil.ignore_patterns(*_PASSING))
    unfinished.rename(copy)
    _sync_folder(copy.parent)


def _sync_folder(path: Path) -> None:
    # Without this the new name may be lost with the power although the bytes are not.
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
