"""What is read and written by name: inputs, and targets that appear whole or not at all.

A target is written without a name (O_TMPFILE) or, where the file system has no such thing, under
one that starts with a dot; it is synced, then linked into place. Not even a kill leaves half of
one.

This module does NOT know what the files hold.
"""

import os
import select
import stat
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from concura.adapters.folders import disk
from concura.adapters.segments import reading
from concura.errors import FileUnusable

__all__ = ["Input", "copy_out", "new_file", "new_folder", "open_input", "spool", "write_out"]

_LOOK_S: Final = 0.2  # how often a wait for a pipe looks whether it should stop
_COPY_BYTES: Final = 1024 * 1024
_OPEN_FILES: Final = Path("/proc/self/fd")  # through which an unnamed file gets its name


@dataclass(frozen=True, slots=True)
class Input:
    """Something open for reading.

    Args:
        handle: file descriptor.
        name: for errors.
        size_bytes: length of a regular file; None for a pipe.
    """

    handle: int
    name: str
    size_bytes: int | None

    def read(self, room: memoryview, stop: threading.Event) -> int:
        """Fill some of `room` from a pipe; 0 at its end, or when asked to stop."""
        with reading(self.name):
            while not stop.is_set():
                if select.select([self.handle], [], [], _LOOK_S)[0]:
                    return os.readv(self.handle, [room])
        return 0


@contextmanager
def open_input(path: Path | None) -> Iterator[Input]:
    """Open a file, or standard input where there is no path.

    Raises:
        FileUnusable: `missing`, `folder` or `unreadable`.
    """
    if path is None:
        yield _input(0, "-")
        return
    with reading(str(path)):
        handle = os.open(path, os.O_RDONLY)
    try:
        yield _input(handle, str(path))
    finally:
        os.close(handle)


def _input(handle: int, name: str) -> Input:
    with reading(name):
        status = os.fstat(handle)
        if stat.S_ISDIR(status.st_mode):
            raise FileUnusable("folder", file=name)
        if not stat.S_ISREG(status.st_mode):
            return Input(handle, name, None)
        # A redirected standard input may have been read in part.
        os.lseek(handle, 0, os.SEEK_SET)
    return Input(handle, name, status.st_size)


@contextmanager
def new_file(path: Path, *, force: bool, mode: int) -> Iterator[int]:
    """Write a file that appears whole at the end of the block, or not at all.

    Args:
        path: its name.
        force: replace what has the name already.
        mode: its permissions.

    Yields:
        A file descriptor, to be written by position.

    Raises:
        FileUnusable: `exists`; `folder`: the name is a folder's.
        FolderUnusable, StoreFull: the folder cannot be written, or is full.
    """
    if path.is_dir():
        raise FileUnusable("folder", file=str(path))
    if not force and os.path.lexists(path):
        raise FileUnusable("exists", file=str(path))
    with _tidied(path.parent):
        handle, name = _unnamed(path)
        try:
            yield handle
            os.fchmod(handle, mode)
            # Delayed allocation: some disks say only here that they are full.
            os.fsync(handle)
            _appear(handle, name, path, force=force)
        finally:
            os.close(handle)
            if name is not None:
                with suppress(OSError):
                    name.unlink()


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Make a folder that appears whole at the end of the block, or not at all.

    Args:
        path: its name; nothing may have it.

    Yields:
        Where to write meanwhile.

    Raises:
        FileUnusable: `exists`.
        FolderUnusable, StoreFull: it cannot be written.
    """
    if os.path.lexists(path):
        raise FileUnusable("exists", file=str(path))
    with _tidied(path.parent):
        name = tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        unfinished = Path(name)
        try:
            yield unfinished
            unfinished.rename(path)
        except BaseException:
            _remove(unfinished)
            raise


@contextmanager
def spool() -> Iterator[int]:
    """Give an unnamed temporary file for a package on its way to a pipe: ciphertext alone."""
    folder = Path(tempfile.gettempdir())
    with _tidied(folder), tempfile.TemporaryFile() as file:
        yield file.fileno()


def copy_out(handle: int, to: int) -> None:
    """Copy a whole file to a pipe or terminal.

    Raises:
        BrokenPipeError: the reader went away.
        FolderUnusable, StoreFull: the other side cannot take it.
    """
    place, stop = 0, threading.Event()
    while data := os.pread(handle, _COPY_BYTES, place):
        place += len(data)
        write_out(to, memoryview(data), stop)


def write_out(handle: int, data: memoryview, stop: threading.Event) -> None:
    """Write all of a buffer to a pipe, unless asked to stop.

    Raises:
        OSError: the other side cannot take it; BrokenPipeError: it went away.
    """
    while data and not stop.is_set():
        if select.select([], [handle], [], _LOOK_S)[1]:
            data = data[os.write(handle, data) :]


@contextmanager
def _tidied(folder: Path) -> Iterator[None]:
    """Turn what the disk says into an error of ours; a reader that went away stays what it is."""
    try:
        with disk(folder):
            try:
                yield
            except BrokenPipeError as error:
                raise _GoneError from error
    except _GoneError as gone:
        raise BrokenPipeError from gone


class _GoneError(Exception):
    """A BrokenPipeError on its way past `disk`."""


def _unnamed(path: Path) -> tuple[int, Path | None]:
    flag = getattr(os, "O_TMPFILE", None)
    if flag is not None and _OPEN_FILES.is_dir():
        # Without a name there is nothing to leave behind, not even by a kill or a power cut.
        with suppress(OSError):
            return os.open(path.parent, flag | os.O_RDWR, 0o600), None
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    return handle, Path(name)


def _appear(handle: int, name: Path | None, path: Path, *, force: bool) -> None:
    """Give a finished file its name; only `force` takes the name from another."""
    if name is None:
        name = path.with_name(f".{path.name}.{os.urandom(6).hex()}.part")
        origin = str(_OPEN_FILES / str(handle))
    else:
        origin = str(name)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if force:
            if origin != str(name):
                _link(origin, name, folder)
            name.replace(path)
        else:
            _link(origin, path, folder)
        os.fsync(folder)
    except FileExistsError as error:
        raise FileUnusable("exists", file=str(path)) from error
    finally:
        os.close(folder)


def _link(origin: str, path: Path, folder: int) -> None:
    # With a folder's descriptor Python calls linkat, which alone follows /proc/self/fd.
    os.link(origin, path.name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=True)


def _remove(folder: Path) -> None:
    with suppress(OSError):
        for path in sorted(folder.rglob("*"), reverse=True):
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            else:
                path.unlink()
        folder.rmdir()
