"""Who serves a folder: `run.json` beside its lock, and how to end that process and no other.

A serving process writes `run.json` {"pid", "started", "port", …} when it is ready and removes it at
its end. What a killed process left behind is recognised by number and start time, so that a number
in use by another program is never signalled.

This module does NOT start processes (`processes.py`).
"""

import json
import os
import select
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from concura.adapters.folders import atomic_write
from concura.adapters.locks import Lock, identity, is_alive
from concura.adapters.processes import STOP_GRACE_S, announce

__all__ = ["Run", "Serving", "end", "has_remains", "read_run", "serving"]

_FILE = "run.json"
_PAUSE_S = 0.05


@dataclass(frozen=True, slots=True)
class Run:
    """A process that serves a folder."""

    pid: int
    started: str
    port: int
    more: dict[str, Any]

    @property
    def token(self) -> str:
        """What the node's own tools show on its loopback port."""
        return str(self.more.get("token", ""))


@dataclass(frozen=True, slots=True)
class Serving:
    """The right to serve a folder; `ready` tells the world."""

    folder: Path

    def ready(self, *, port: int, **more: object) -> None:
        """Write `run.json` and tell the parent that this process serves.

        Args:
            port: the port that it listens on.
            **more: what else its tools need, such as `token`. Only the owner can read it.
        """
        pid = os.getpid()
        run = {"pid": pid, "started": identity(pid), "port": port, **more}
        atomic_write(self.folder / _FILE, json.dumps(run).encode() + b"\n", mode=0o600)
        announce({"ready": True, "pid": pid, "port": port})


@contextmanager
def serving(folder: Path) -> Iterator[Serving]:
    """Serve a folder: alone, and visibly.

    Args:
        folder: the folder, already claimed.

    Yields:
        What to call `ready` on.

    Raises:
        AlreadyRunning: another process serves it.
        FolderUnusable: its lock cannot be written.

    Example:
        >>> with serving(Path("consortium/hub")) as place:  # doctest: +SKIP
        ...     place.ready(port=8443)
    """
    with Lock(folder):
        _forget(folder)
        try:
            yield Serving(folder)
        finally:
            _forget(folder)


def read_run(folder: Path) -> Run | None:
    """Return the process that serves a folder, or None when none does."""
    try:
        said = json.loads((folder / _FILE).read_bytes())
        more = {name: said[name] for name in said if name not in {"pid", "started", "port"}}
        run = Run(int(said["pid"]), str(said["started"]), int(said["port"]), more)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return run if is_alive(run.pid, run.started) else None


def has_remains(folder: Path) -> bool:
    """Tell whether a killed process left its `run.json` behind; the next one clears it away."""
    return (folder / _FILE).exists() and read_run(folder) is None


def end(folder: Path, *, grace_s: float = STOP_GRACE_S) -> str:
    """End the process that serves a folder: ask, wait, kill.

    Args:
        folder: the folder.
        grace_s: how long it has after it was asked.

    Returns:
        `absent`, `stopped` or `killed`.
    """
    run = read_run(folder)
    if run is None:
        _forget(folder)
        return "absent"
    _signal(run, signal.SIGTERM)
    outcome = "stopped"
    if not _wait_gone(run, grace_s):
        _signal(run, signal.SIGKILL)
        _wait_gone(run, grace_s)
        outcome = "killed"
    _forget(folder)
    return outcome


def _forget(folder: Path) -> None:
    with suppress(OSError):
        (folder / _FILE).unlink()


def _signal(run: Run, number: signal.Signals) -> None:
    if not is_alive(run.pid, run.started):
        return
    with suppress(ProcessLookupError):
        if number == signal.SIGKILL and os.getpgid(run.pid) == run.pid:
            os.killpg(run.pid, number)  # with the miners and whatever else it started
        else:
            os.kill(run.pid, number)


def _wait_gone(run: Run, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    handle = _open_pid(run.pid)
    try:
        while is_alive(run.pid, run.started):
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            if handle < 0:
                time.sleep(min(_PAUSE_S, left))
            else:
                select.select([handle], [], [], left)
    finally:
        if handle >= 0:
            os.close(handle)
    return True


def _open_pid(pid: int) -> int:
    # Linux can wait for a process that is no child; elsewhere we look again and again.
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return -1
