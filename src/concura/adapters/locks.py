"""One process per folder: an advisory lock, and who holds it.

The lock is the kernel's (flock), so that it ends with its process however that dies. The file also
says which process holds it: a number and a start time, because numbers are used again.

This module does NOT start or stop anything.
"""

import fcntl
import json
import os
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from concura.errors import AlreadyRunning, FolderUnusable

__all__ = ["Lock", "identity", "is_alive"]

_FILE = "lock"
_TRIES = 20
_PAUSE_S = 0.05
# Fields of /proc/PID/stat after the name in parentheses: [0] is the state, [19] the start time.
_STATE, _START = 0, 19


class Lock:
    """The right to serve a folder, for as long as the block lasts.

    Args:
        folder: the folder; it must exist.

    Raises:
        AlreadyRunning: on entering, when another process has it.
        FolderUnusable: on entering, when the lock file cannot be written.

    Example:
        >>> with Lock(Path("consortium/hub")):  # doctest: +SKIP
        ...     serve()
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._handle = -1

    def __enter__(self) -> Self:
        try:
            self._handle = os.open(self.folder / _FILE, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            why = "missing" if isinstance(error, FileNotFoundError) else "readonly"
            raise FolderUnusable(why, folder=str(self.folder)) from error
        try:
            self._acquire()
            self._sign()
        except BaseException:
            os.close(self._handle)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # The file stays: removing it would let two processes lock two files of one name.
        with suppress(OSError):
            os.ftruncate(self._handle, 0)
        os.close(self._handle)

    def _acquire(self) -> None:
        for _ in range(_TRIES):
            try:
                fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pid, started = _read(self.folder)
                if is_alive(pid, started):
                    raise AlreadyRunning(pid=pid, folder=str(self.folder)) from None
                # Held, but not signed: its process is just starting or just ending.
                time.sleep(_PAUSE_S)
            else:
                return
        raise AlreadyRunning(pid=_read(self.folder)[0], folder=str(self.folder))

    def _sign(self) -> None:
        holder = {"pid": os.getpid(), "started": identity(os.getpid())}
        text = json.dumps(holder).encode()
        try:
            os.ftruncate(self._handle, 0)
            os.pwrite(self._handle, text, 0)
        except OSError as error:
            raise FolderUnusable("readonly", folder=str(self.folder)) from error


def identity(pid: int) -> str:
    """Say when a process started, so that its number cannot be taken for another's.

    Args:
        pid: the process's number.

    Returns:
        A text that no other process with this number has; empty when there is no such process, or
        when it has ended and only waits to be reaped.
    """
    if pid <= 0:
        return ""
    if Path("/proc/self/stat").exists():
        return _identity_linux(pid)
    return _identity_ps(pid)


def is_alive(pid: int, started: str) -> bool:
    """Tell whether the process that was recorded as (number, start time) still runs."""
    return bool(started) and identity(pid) == started


def _read(folder: Path) -> tuple[int, str]:
    try:
        holder = json.loads((folder / _FILE).read_bytes())
        return int(holder["pid"]), str(holder["started"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0, ""


def _identity_linux(pid: int) -> str:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()  # the name may hold spaces and parentheses
    return "" if fields[_STATE] in {"Z", "X"} else f"{boot}:{fields[_START]}"


def _identity_ps(pid: int) -> str:
    found = subprocess.run(  # noqa: S603 - the system's ps, by its full path, with a number
        ["/bin/ps", "-o", "lstart=,stat=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
        env={"LC_ALL": "C"},
    )
    *started, state = found.stdout.split() or ["Z"]
    return "" if state.startswith("Z") else " ".join(started)
