"""Folders as tar streams: written without a temporary file, read without trusting a name in them.

POSIX.1-2001 (pax) archives of regular files and folders, in the order of their names. A link, a
device or a pipe is refused on both sides, and so is every name that leads out of the folder: an
archive is data that somebody else wrote.

This module does NOT encrypt, and does NOT keep owners, groups or special permission bits.
"""

import os
import queue
import stat
import tarfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Final

from concura.adapters.segments import reading
from concura.errors import ConcuraError, FileUnusable, StreamRefused

__all__ = ["Chunks", "Unpacker", "tar_chunks"]

_CHUNK_BYTES: Final = 1024 * 1024
_BLOCK_BYTES: Final = tarfile.BLOCKSIZE
_DEPTH_MAX: Final = 128  # folders in folders; paths longer than this break other tools too
_LOOK_S: Final = 0.2
_QUEUED_MAX: Final = 2  # segments between the thread that opens and the thread that unpacks


def tar_chunks(folder: Path) -> Iterator[bytes]:
    """Write a folder as a tar archive, piece by piece.

    Args:
        folder: the folder; its own name is not part of the archive.

    Yields:
        Pieces of at most 1 MiB.

    Raises:
        FileUnusable: `special`: a link, device or pipe is in it; `changed`: a file shrank or
            vanished while it was read; `unreadable`.
    """
    for path in _walk(folder):
        name = path.relative_to(folder).as_posix()
        status = _status(path)
        info = tarfile.TarInfo(name)
        info.mtime = int(status.st_mtime)
        info.mode = stat.S_IMODE(status.st_mode) & 0o755
        if stat.S_ISDIR(status.st_mode):
            info.type = tarfile.DIRTYPE
            yield _header(info)
        else:
            yield from _file(path, info)
    yield bytes(2 * _BLOCK_BYTES)


def _walk(folder: Path) -> Iterator[Path]:
    with reading(str(folder)):
        found = sorted(os.scandir(folder), key=lambda entry: entry.name)
    for entry in found:
        path = Path(entry.path)
        yield path
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(path)


def _status(path: Path) -> os.stat_result:
    try:
        status = path.lstat()
    except FileNotFoundError as error:
        raise FileUnusable("changed", file=str(path)) from error
    # A link's target may lie anywhere; what is silently left out is missed too late.
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        raise FileUnusable("special", file=str(path))
    return status


def _file(path: Path, info: tarfile.TarInfo) -> Iterator[bytes]:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise FileUnusable("changed", file=str(path)) from error
    except OSError as error:
        raise FileUnusable("unreadable", file=str(path), detail=error.strerror) from error
    try:
        info.size = os.fstat(handle).st_size
        yield _header(info)
        left = info.size
        while left:
            with reading(str(path)):
                data = os.read(handle, min(left, _CHUNK_BYTES))
            if not data:
                raise FileUnusable("changed", file=str(path))
            left -= len(data)
            yield data
        with reading(str(path)):
            if os.read(handle, 1):
                raise FileUnusable("changed", file=str(path))
        yield bytes(-info.size % _BLOCK_BYTES)
    finally:
        os.close(handle)


def _header(info: tarfile.TarInfo) -> bytes:
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


class Chunks:
    """Reads pieces that come one after the other as if they were one stream."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest = pieces, memoryview(b"")

    def read(self, room: memoryview, stop: threading.Event) -> int:  # noqa: ARG002 - never waits
        """Fill some of `room`; 0 at the end."""
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = memoryview(piece)
        count = min(len(room), len(self._rest))
        room[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


class Unpacker:
    """Unpacks a tar stream that is pushed into it, in a thread of its own.

    Args:
        folder: an empty folder that nobody else writes to.

    Example:
        >>> unpacker = Unpacker(folder)  # doctest: +SKIP
        >>> unpacker.write(data, stop); unpacker.close()  # doctest: +SKIP
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._queue: queue.Queue[bytes | None] = queue.Queue(_QUEUED_MAX)
        self._rest: bytes | None = b""
        self._error: BaseException | None = None
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def write(self, data: memoryview, stop: threading.Event) -> None:
        """Hand over the next bytes; waits while the thread is behind.

        Raises:
            StreamRefused, FileUnusable, OSError: what the thread met.
        """
        self._put(bytes(data), stop)

    def close(self) -> None:
        """Say that the stream ends here, and wait until all is unpacked.

        Raises:
            StreamRefused: `archive`: no archive, cut, or with a member that is refused.
            OSError: the folder cannot be written.
        """
        self._put(None, threading.Event())
        self._thread.join()
        if self._error is not None:
            raise self._error

    def abandon(self) -> None:
        """End the thread without asking what it met."""
        self._is_over.set()
        with suppress(queue.Full):
            self._queue.put_nowait(None)
        self._thread.join()

    def _put(self, data: bytes | None, stop: threading.Event) -> None:
        while not stop.is_set():
            if self._error is not None:
                raise self._error
            if self._is_over.is_set():
                return  # tar's end was seen; what follows it is padding
            try:
                self._queue.put(data, timeout=_LOOK_S)
            except queue.Full:
                continue
            return

    def read(self, count: int) -> bytes:
        """Return the next bytes, for tarfile: at most `count`, fewer only at the end."""
        parts = []
        while count and self._rest is not None:
            if not self._rest:
                try:
                    self._rest = self._queue.get(timeout=_LOOK_S)
                except queue.Empty:
                    if self._is_over.is_set():
                        self._rest = None
                continue
            parts.append(self._rest[:count])
            count -= len(parts[-1])
            self._rest = self._rest[len(parts[-1]) :]
        return b"".join(parts)

    def _run(self) -> None:
        try:
            with tarfile.open(fileobj=self, mode="r|", bufsize=_CHUNK_BYTES) as archive:  # type: ignore[call-overload]  # it asks for `read` alone
                folders = [done for info in archive if (done := self._unpack(archive, info))]
            # Last and deepest first: putting a file into a folder changes the folder's time.
            for path, time_s in reversed(folders):
                os.utime(path, (time_s, time_s))
        except tarfile.TarError as error:
            refusal = StreamRefused("archive")
            refusal.__cause__ = error
            self._error = refusal
        except (ConcuraError, OSError, ValueError, EOFError, OverflowError) as error:
            is_ours = isinstance(error, ConcuraError | OSError)
            self._error = error if is_ours else StreamRefused("archive")
        finally:
            self._is_over.set()

    def _unpack(self, archive: tarfile.TarFile, info: tarfile.TarInfo) -> tuple[Path, float] | None:
        path = self._folder / _safe_name(info.name)
        time_s = float(max(0, min(int(info.mtime), 2**33)))
        if info.isdir():
            path.mkdir(mode=0o700, exist_ok=True)
            return path, time_s
        if not info.isreg() or info.sparse is not None:
            raise StreamRefused("archive")
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # O_EXCL: a second member of the same name must not replace the first.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        try:
            handle = os.open(path, flags, 0o700 if info.mode & 0o100 else 0o600)
        except FileExistsError as error:
            raise StreamRefused("archive") from error
        try:
            with os.fdopen(handle, "wb", buffering=0) as file:
                _copy(archive, info, file.fileno())
                os.utime(file.fileno(), (time_s, time_s))
        except BaseException:
            with suppress(OSError):
                path.unlink()
            raise
        return None


def _copy(archive: tarfile.TarFile, info: tarfile.TarInfo, handle: int) -> None:
    source = archive.extractfile(info)
    left = info.size
    while source is not None and left:
        data = source.read(min(left, _CHUNK_BYTES))
        if not data:
            raise StreamRefused("archive")
        left -= len(data)
        view = memoryview(data)
        while view:
            view = view[os.write(handle, view) :]


def _safe_name(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    is_safe = (
        name != ""
        and not path.is_absolute()
        and "\0" not in name
        and ".." not in path.parts
        and 0 < len(path.parts) <= _DEPTH_MAX
    )
    if not is_safe:
        raise StreamRefused("archive")
    return path
