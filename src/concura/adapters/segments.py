"""Streams of segments through several threads: from files or pipes, into files or pipes.

Each thread takes a segment, seals or opens it into its own two buffers, hashes the ciphertext and
hands it on: memory is (threads x 2) segments whatever the object's size. AES, SHA-256 and the
system calls release the interpreter lock. What reads and writes by position runs side by side; a
pipe is read under a lock and written in turn.

This module does NOT know keys, records or names of targets: `files.py` does.
"""

import errno
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from concura.errors import FileUnusable, StreamRefused
from concura.sealing.stream import (
    Bytes,
    Layout,
    SegmentCipher,
    SegmentTree,
    segment_digest,
)
from concura.types import Digest

__all__ = [
    "Advance",
    "Digests",
    "FileSink",
    "FileSource",
    "InTurn",
    "PipeSource",
    "Sink",
    "Source",
    "open_segments",
    "read_at",
    "read_range",
    "reading",
    "seal_segments",
    "worker_count",
    "write_at",
]

Advance = Callable[[int], None]

_WORKERS_MAX = 8  # beyond that, memory is the limit; 2 MiB of buffers each
_LOOK_S = 0.2  # how often a thread that waits for a pipe looks whether it should stop
_PATIENCE_S = 5.0  # how long an ended work waits for a thread that hangs in the system


def worker_count() -> int:
    """Return how many threads a stream gets: one per processor, two to eight."""
    # Where the system says which processors are ours, a container's share counts.
    ours = getattr(os, "sched_getaffinity", None)
    return min(_WORKERS_MAX, max(2, len(ours(0)) if ours else os.cpu_count() or 2))


@dataclass(frozen=True, slots=True)
class _Piece:
    number: int
    length: int
    is_last: bool


class Source(Protocol):
    """Where segments come from. MUST hand out each number once, in order."""

    def take(self, room: memoryview, stop: threading.Event) -> _Piece | None:
        """Fill `room` with the next segment, or return None after the last."""
        ...


class Sink(Protocol):
    """Where segments go."""

    def put(self, number: int, start: int, data: memoryview, stop: threading.Event) -> None:
        """Write one segment that begins at byte `start` of the whole."""
        ...


class FileSource:
    """A file of known length, read by position.

    Args:
        handle: open for reading.
        name: for errors.
        layout: where segments begin.
        sealed: the file holds a stream, not an object.
        base: where in the file the object or stream begins.
        end: where in the file it ends.
    """

    def __init__(
        self, handle: int, name: str, *, layout: Layout, sealed: bool, base: int, end: int
    ) -> None:
        self._handle, self._name, self._base, self._total = handle, name, base, end - base
        self._start = layout.sealed_start if sealed else layout.plain_start
        self._width = layout.segment_bytes if sealed else layout.capacity(1)
        self._next = 0
        self._lock = threading.Lock()

    def take(self, room: memoryview, stop: threading.Event) -> _Piece | None:  # noqa: ARG002 - a file does not keep us waiting
        """Read the next segment."""
        with self._lock:
            number = self._next
            start, end = self._start(number), min(self._start(number + 1), self._total)
            if number and start >= self._total:
                return None
            self._next += 1
        if read_at(self._handle, room[: end - start], self._base + start, self._name) < end - start:
            raise FileUnusable("changed", file=self._name)
        return _Piece(number, end - start, end == self._total)


class PipeSource:
    """A pipe or any other stream, read under a lock, one segment and one byte ahead.

    Args:
        read: fills a buffer, returns how many bytes, 0 at the end.
        layout: where segments begin.
        sealed: it carries a stream, its header already taken; else an object.
        most: bytes after which it must end; None if its own end decides.
    """

    def __init__(
        self,
        read: Callable[[memoryview, threading.Event], int],
        *,
        layout: Layout,
        sealed: bool,
        most: int | None = None,
    ) -> None:
        self._read, self._layout, self._sealed, self._left = read, layout, sealed, most
        self._next, self._ahead, self._is_done = 0, b"", False
        self._lock = threading.Lock()

    def take(self, room: memoryview, stop: threading.Event) -> _Piece | None:
        """Read the next segment."""
        with self._lock:
            if self._is_done or stop.is_set():
                return None
            number, width = self._next, self._layout.capacity(self._next)
            if self._sealed:
                width += 16
            length = len(self._ahead)
            room[:length] = self._ahead
            length += self._fill(room[length:width], stop)
            # Only what follows tells whether this one was the last: a full segment can be.
            ahead = bytearray(1)
            self._ahead = bytes(ahead[: self._fill(memoryview(ahead), stop)])
            self._is_done = not self._ahead
            self._next += 1
            self._count(length)
            return _Piece(number, length, self._is_done)

    def _count(self, length: int) -> None:
        if self._left is None:
            return
        self._left -= length
        if self._left < 0 or (self._left == 0) != self._is_done:
            raise StreamRefused("long" if self._left <= 0 else "short")

    def _fill(self, room: memoryview, stop: threading.Event) -> int:
        done = 0
        while done < len(room) and not stop.is_set():
            count = self._read(room[done:], stop)
            if count == 0:
                break
            done += count
        return done


class FileSink:
    """A file written by position.

    Args:
        handle: open for writing.
        base: where in the file the object or stream begins.
    """

    def __init__(self, handle: int, base: int = 0) -> None:
        self._handle, self._base = handle, base

    def put(self, number: int, start: int, data: memoryview, stop: threading.Event) -> None:  # noqa: ARG002 - by position
        """Write one segment."""
        write_at(self._handle, data, self._base + start)


class InTurn:
    """Hands segments on in their order.

    Args:
        write: takes the bytes; the buffer is used again afterwards.
    """

    def __init__(self, write: Callable[[memoryview, threading.Event], None]) -> None:
        self._write, self._next = write, 0
        self._turn = threading.Condition()

    def put(self, number: int, start: int, data: memoryview, stop: threading.Event) -> None:  # noqa: ARG002 - in turn
        """Wait for this segment's turn, then write it."""
        with self._turn:
            while self._next != number:
                if stop.is_set():
                    return
                self._turn.wait(_LOOK_S)
        # Outside the lock: whoever waits for a slow reader must not keep others from stopping.
        self._write(data, stop)
        with self._turn:
            self._next += 1
            self._turn.notify_all()


class Digests:
    """The RFC 6962 root over segments' SHA-256, which arrive in any order."""

    def __init__(self) -> None:
        self._tree, self._early = SegmentTree(), dict[int, bytes]()
        self._lock, self._next = threading.Lock(), 0

    def put(self, number: int, digest: bytes) -> None:
        """Take the digest of one segment."""
        with self._lock:
            self._early[number] = digest
            while self._next in self._early:
                self._tree.append(self._early.pop(self._next))
                self._next += 1

    def root(self) -> Digest:
        """Return the root over all segments so far, hexadecimal."""
        return Digest(self._tree.root().hex())


def seal_segments(
    source: Source, sink: Sink, cipher: SegmentCipher, *, advance: Advance, workers: int = 0
) -> tuple[Digest, int]:
    """Seal an object into a stream; the caller writes the header.

    Args:
        source: the object.
        sink: takes the segments by their place in the stream.
        cipher: for this attempt alone.
        advance: called in the caller's thread with the number of bytes done since the last call.
        workers: threads; 0 lets the machine decide.

    Returns:
        The stream's root, and the object's length in bytes.

    Raises:
        FileUnusable, StoreFull, FolderUnusable: a file does not do what it should.
    """
    digests, layout = Digests(), cipher.layout

    def work(piece: _Piece, plain: memoryview, sealed: memoryview, stop: threading.Event) -> None:
        cipher.seal(piece.number, plain, sealed, is_last=piece.is_last)
        header = cipher.header if piece.number == 0 else b""
        digests.put(piece.number, segment_digest(sealed, header=header, suite=cipher.suite))
        sink.put(piece.number, layout.sealed_start(piece.number), sealed, stop)

    done = _through(source, work, layout, grow=16, advance=advance, workers=workers)
    return digests.root(), done


def open_segments(
    source: Source, sink: Sink, cipher: SegmentCipher, *, advance: Advance, workers: int = 0
) -> tuple[Digest, int]:
    """Open a stream into its object; nothing of a bad segment reaches the sink.

    Args:
        source: the stream after its header.
        sink: takes the segments by their place in the object.
        cipher: with the stream's key and header.
        advance: called in the caller's thread with the number of bytes done since the last call.
        workers: threads; 0 lets the machine decide.

    Returns:
        The stream's root, to be compared with the signed one, and the object's length in bytes.

    Raises:
        StreamRefused: `segment`, `size`, `short` or `long`.
        FileUnusable, StoreFull, FolderUnusable: a file does not do what it should.
    """
    digests, layout = Digests(), cipher.layout

    def work(piece: _Piece, sealed: memoryview, plain: memoryview, stop: threading.Event) -> None:
        cipher.open(piece.number, sealed, plain, is_last=piece.is_last)
        header = cipher.header if piece.number == 0 else b""
        digests.put(piece.number, segment_digest(sealed, header=header, suite=cipher.suite))
        sink.put(piece.number, layout.plain_start(piece.number), plain, stop)

    done = _through(source, work, layout, grow=-16, advance=advance, workers=workers)
    return digests.root(), done


def read_range(
    handle: int,
    name: str,
    cipher: SegmentCipher,
    *,
    base: int,
    plain_bytes: int,
    start: int,
    length: int,
) -> bytes:
    """Open only the segments that hold a range of the object.

    Each segment is checked; that the stream is the sender's own needs the root over all of it.

    Args:
        handle: open for reading.
        name: for errors.
        cipher: with the stream's key and header.
        base: where in the file the stream begins.
        plain_bytes: length of the object, from the manifest.
        start: first byte of the range, from 0.
        length: bytes of the range; what lies beyond the object's end is left out.

    Returns:
        The bytes.

    Raises:
        StreamRefused: `segment`: a segment was changed.
        FileUnusable: the file is shorter than it was.
    """
    layout, end = cipher.layout, min(start + length, plain_bytes)
    if start < 0 or start >= end:
        return b""
    parts, last = [], layout.count(plain_bytes) - 1
    for number in layout.numbers(start, end):
        size = layout.plain_length(number, plain_bytes)
        sealed, plain = memoryview(bytearray(size + 16)), memoryview(bytearray(size))
        if read_at(handle, sealed, base + layout.sealed_start(number), name) < len(sealed):
            raise FileUnusable("changed", file=name)
        cipher.open(number, sealed, plain, is_last=number == last)
        first = layout.plain_start(number)
        parts.append(bytes(plain[max(0, start - first) : end - first]))
    return b"".join(parts)


def read_at(handle: int, room: memoryview, place: int, name: str) -> int:
    """Fill a buffer from one place of a file; return how many bytes there were."""
    done = 0
    with reading(name):
        while done < len(room):
            count = os.preadv(handle, [room[done:]], place + done)
            if count == 0:
                break
            done += count
    return done


def write_at(handle: int, data: Bytes, place: int) -> None:
    """Write all of a buffer at one place of a file."""
    view, done = memoryview(data), 0
    while done < len(view):
        done += os.pwrite(handle, view[done:], place + done)


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Turn what the system says while it reads a file into an error that a person understands."""
    try:
        yield
    except OSError as error:
        missing = error.errno in {errno.ENOENT, errno.ENOTDIR}
        why = "missing" if missing else "folder" if error.errno == errno.EISDIR else "unreadable"
        raise FileUnusable(why, file=name, detail=error.strerror or "I/O") from error


class _Crew:
    """What the threads of one work share."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.bell = threading.Condition()
        self.error: BaseException | None = None
        self.done = 0
        self.busy = 0

    def fail(self, error: BaseException) -> None:
        with self.bell:
            self.error = self.error or error
            self.stop.set()


_Work = Callable[[_Piece, memoryview, memoryview, threading.Event], None]


def _through(
    source: Source, work: _Work, layout: Layout, *, grow: int, advance: Advance, workers: int
) -> int:
    crew = _Crew()
    crew.busy = workers or worker_count()
    plain = [0] * crew.busy
    threads = [
        threading.Thread(
            target=_labour, args=(crew, source, work, layout, grow, plain, index), daemon=True
        )
        for index in range(crew.busy)
    ]
    try:
        for thread in threads:
            thread.start()
        _watch(crew, advance)
    finally:
        crew.stop.set()
        for thread in threads:
            thread.join(_PATIENCE_S)
    if crew.error is not None:
        raise crew.error
    return sum(plain)


def _labour(
    crew: _Crew,
    source: Source,
    work: _Work,
    layout: Layout,
    grow: int,
    plain: list[int],
    index: int,
) -> None:
    try:
        one = memoryview(bytearray(layout.segment_bytes))
        other = memoryview(bytearray(layout.segment_bytes))
        while not crew.stop.is_set() and (piece := source.take(one, crew.stop)) is not None:
            after = piece.length + grow
            if after < 0:
                raise StreamRefused("short")  # noqa: TRY301 - one place tells the others
            work(piece, one[: piece.length], other[:after], crew.stop)
            plain[index] += min(piece.length, after)
            with crew.bell:
                crew.done += min(piece.length, after)
    except BaseException as error:  # noqa: BLE001 - the caller's thread raises it again
        crew.fail(error)
    finally:
        with crew.bell:
            crew.busy -= 1
            crew.bell.notify_all()


def _watch(crew: _Crew, advance: Advance) -> None:
    shown = 0
    while True:
        with crew.bell:
            if crew.busy:
                crew.bell.wait(_LOOK_S)
            done, is_over = crew.done, not crew.busy or crew.error is not None
        if done > shown:
            advance(done - shown)
            shown = done
        if is_over:
            return
