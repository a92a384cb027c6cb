"""One SQLite file: synchronous reads, and writes through one thread with group commit.

WAL with `synchronous=FULL`: a write is on the disk when it is answered. The writer takes all
waiting jobs into one transaction, so that a hundred callers share one flush. Each job has its own
savepoint: one that fails spoils no other. Pages are encrypted where a key is given (SQLite3
Multiple Ciphers, ChaCha20-Poly1305).

This module does NOT know any table; it lets no exception of `apsw` out.
"""

import asyncio
import contextlib
import os
import queue
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw

from concura.errors import (
    FolderFormat,
    FolderUnusable,
    InternalFault,
    StoreCorrupt,
    StoreFull,
)

__all__ = ["Database", "Job", "scalar"]

Job = Callable[[apsw.Connection], Any]

_BATCH_MAX = 1_000  # jobs in one transaction: beyond it a flush costs little per job
_BUSY_MS = 5_000  # another process, such as a backup, may hold the file this long
_CHECKPOINT_TRIES = 3
_FULL_BYTES = 1 << 20  # less free space than this turns an I/O error into "full"

_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",  # NORMAL loses acknowledged writes at a power cut
    "PRAGMA fullfsync = ON",  # macOS: F_FULLFSYNC; elsewhere without effect
    "PRAGMA foreign_keys = ON",
    "PRAGMA trusted_schema = OFF",  # a stranger's file must not run functions
    "PRAGMA cell_size_check = ON",  # damaged pages are noticed where they are read
    "PRAGMA secure_delete = ON",  # what was deleted does not stay in free pages
)


@dataclass(slots=True)
class _Waiting:
    """A job, and whom to tell: an asyncio future with its loop, or a thread's future."""

    job: Job
    future: Any  # asyncio.Future or concurrent Future: both have set_result and set_exception
    loop: asyncio.AbstractEventLoop | None = None
    result: Any = None
    error: BaseException | None = field(default=None)

    def tell(self) -> None:
        if self.future.done():  # the caller was cancelled; the write stands all the same
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


class Database:
    """One SQLite file.

    Args:
        path: the file; made with mode 600 where it is missing.
        schema: statements that make the tables of a fresh file.
        version: of the schema; stands in the file.
        key: 32 bytes to encrypt the pages with, or None.

    Raises:
        StoreCorrupt: the file is no database, or opens with another key.
        FolderFormat: it was written by a newer version.
        FolderUnusable: it cannot be made or written.

    Example:
        >>> Database(path, schema=["CREATE TABLE t (x)"]).read("SELECT x FROM t")  # doctest: +SKIP
        []
    """

    def __init__(
        self, path: Path, *, schema: Sequence[str], version: int = 1, key: bytes | None = None
    ) -> None:
        self.path = path
        self._key = key
        self._lock = threading.Lock()  # one statement at a time on the reading connection
        self._closed = False
        with self.errors():
            # Made before SQLite does, so that no other user can read it for a moment.
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            self._writing = self.connect()
            try:
                self._make(schema, version)
                self._reading = self.connect()
            except BaseException:
                self._writing.close()
                raise
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=f"writer {path.name}", daemon=True)
        self._thread.start()

    def read(self, sql: str, *values: Any) -> list[Any]:
        """Run one reading statement and return all rows.

        Raises:
            StoreCorrupt: the file is damaged.
        """
        with self.errors(), self._lock:
            return self._reading.execute(sql, values).fetchall()

    def read_value(self, sql: str, *values: Any) -> Any:
        """Return the first column of the first row, or None."""
        rows = self.read(sql, *values)
        return rows[0][0] if rows else None

    async def write(self, job: Job) -> Any:
        """Run a job on the writing connection; return its result once it is on the disk.

        Args:
            job: takes the connection; MUST NOT commit, and MUST NOT wait for anything.

        Raises:
            StoreFull: there was no room; nothing was written.
            StoreCorrupt: the file is damaged.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._put(_Waiting(job, future, loop))
        return await future

    def write_now(self, job: Job) -> Any:
        """Do as `write`, from a thread that may block."""
        future: Future[Any] = Future()
        self._put(_Waiting(job, future))
        return future.result()

    def close(self) -> None:
        """Finish the waiting jobs and close the file."""
        if self._closed:
            return
        self._closed = True
        self._queue.put(None)
        self._thread.join()
        with self.errors(), self._lock:
            self._reading.close()
            self._writing.close()

    def _put(self, waiting: _Waiting) -> None:
        if self._closed:
            raise InternalFault(detail=f"{self.path.name} is closed")
        self._queue.put(waiting)

    def checkpoint(self) -> None:
        """Bring everything into the main file and empty the write-ahead log beside it.

        What was deleted is then in neither: free pages are zeroed as they are freed.

        Raises:
            FolderUnusable: `busy`: another process kept an old state open all the while.
        """
        with self.errors():
            connection = self.connect()
            try:
                for _ in range(_CHECKPOINT_TRIES):
                    # Each try waits as long as a busy file may take.
                    busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()[0][0]
                    if not busy:
                        return
            finally:
                connection.close()
        raise FolderUnusable("busy", folder=str(self.path))

    def connect(self, path: Path | None = None) -> apsw.Connection:
        """Open one more connection, to this file or another of the same key; the caller closes it.

        It lets exceptions of `apsw` out: call it, and use it, inside `errors`.
        """
        connection = apsw.Connection(str(path or self.path))
        try:
            connection.set_busy_timeout(_BUSY_MS)
            if self._key is not None:
                # A raw key: it is random already, and stretching it would cost 50 ms per opening.
                connection.execute(f"PRAGMA key = 'raw:{self._key.hex()}'")
            # The first read shows whether this is a database, and ours.
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
            for pragma in _PRAGMAS:
                connection.execute(pragma).fetchall()
        except BaseException:
            connection.close()
            raise
        return connection

    def _make(self, schema: Sequence[str], version: int) -> None:
        found = scalar(self._writing, "PRAGMA user_version")
        if found > version:
            raise FolderFormat(folder=str(self.path), found=found, known=version)
        if found == 0:
            with self._writing:
                for statement in schema:
                    self._writing.execute(statement)
                self._writing.execute(f"PRAGMA user_version = {version:d}")

    def _run(self) -> None:
        """Take all waiting jobs, write them in one transaction, tell their callers; repeat."""
        stopping = False
        while not stopping:
            batch: list[_Waiting] = []
            waiting = self._queue.get()
            while waiting is not None:
                batch.append(waiting)
                if len(batch) == _BATCH_MAX:
                    break
                try:
                    waiting = self._queue.get_nowait()
                except queue.Empty:
                    break
            stopping = waiting is None
            if batch:
                self._commit(batch)
                _tell(batch)

    def _commit(self, batch: list[_Waiting]) -> None:
        try:
            with self.errors():
                self._writing.execute("BEGIN IMMEDIATE")
                for waiting in batch:
                    self._try(waiting)
                self._writing.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - whatever it is, the callers are told
            with contextlib.suppress(apsw.Error):
                if self._writing.in_transaction:
                    self._writing.execute("ROLLBACK")
            # Nothing of the batch is on the disk, also of the jobs that went well by themselves.
            for waiting in batch:
                waiting.error = waiting.error or error

    def _try(self, waiting: _Waiting) -> None:
        self._writing.execute("SAVEPOINT job")
        try:
            with self.errors():
                waiting.result = waiting.job(self._writing)
        except Exception as error:
            waiting.error = error
            # A full disk may have ended the whole transaction: then all of the batch fails.
            if isinstance(error, StoreFull | StoreCorrupt) or not self._writing.in_transaction:
                raise
            self._writing.execute("ROLLBACK TO job")
        self._writing.execute("RELEASE job")

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """Turn what SQLite and the system raise into the program's own errors."""
        name = str(self.path)
        try:
            yield
        except apsw.FullError as error:
            raise StoreFull(folder=str(self.path.parent)) from error
        except (apsw.CorruptError, apsw.NotADBError) as error:
            raise StoreCorrupt(file=name, detail=type(error).__name__) from error
        except apsw.IOError as error:
            if _is_full(self.path.parent):
                raise StoreFull(folder=str(self.path.parent)) from error
            raise StoreCorrupt(file=name, detail=type(error).__name__) from error
        except (apsw.CantOpenError, apsw.ReadOnlyError, apsw.BusyError, OSError) as error:
            raise FolderUnusable(folder=name, detail=type(error).__name__) from error
        except apsw.Error as error:
            raise InternalFault(detail=f"{self.path.name}: {type(error).__name__}") from error


def scalar(connection: apsw.Connection, sql: str, values: Sequence[Any] = ()) -> Any:
    """Return the first column of the first row, or None; for use inside a job."""
    rows = connection.execute(sql, values).fetchall()
    return rows[0][0] if rows else None


def _is_full(folder: Path) -> bool:
    try:
        return shutil.disk_usage(folder).free < _FULL_BYTES
    except OSError:
        return False


def _tell(batch: list[_Waiting]) -> None:
    """Tell every caller; each event loop is woken once for all of its own."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Waiting]] = {}
    for waiting in batch:
        if waiting.loop is None:
            waiting.tell()
        else:
            by_loop.setdefault(waiting.loop, []).append(waiting)
    for loop, group in by_loop.items():
        # A loop that was closed meanwhile has nobody left to tell.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_tell_all, group)


def _tell_all(group: list[_Waiting]) -> None:
    for waiting in group:
        waiting.tell()
