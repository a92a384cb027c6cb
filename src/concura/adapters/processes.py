"""Child processes that never outlive their reason, and what they tell their parent.

- *Lifeline*: the child holds the read end of a pipe whose other end only the parent has. However
  the parent dies, SIGKILL included, the pipe closes and the child ends itself.
- *Ready line*: the child writes one JSON line, `{"ready": true, "port": …}` or `{"error": …}`.
- Own session: Ctrl-C and a closed terminal reach the parent alone; it ends its children in order.

This module does NOT know what the children do.
"""

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import concura
from concura.adapters.folders import disk
from concura.errors import ConcuraError, InternalFault

__all__ = [
    "PROGRAM",
    "READY_TIMEOUT_S",
    "STOP_GRACE_S",
    "Child",
    "Children",
    "announce",
    "announce_error",
    "finish",
    "follow_lifeline",
    "release",
    "start",
    "stop",
    "wait_ready",
    "watch_lifeline",
]

_LIFELINE = "CONCURA_LIFELINE_FD"
_READY = "CONCURA_READY_FD"
READY_TIMEOUT_S = 60.0  # a slow disk and four key pairs on one core
STOP_GRACE_S = 10.0  # to finish a block and close the stores
_LINE_MAX_BYTES = 64 * 1024
PROGRAM = (sys.executable, "-P", "-m", "concura")  # -P: a json.py in the current folder stays out


@dataclass(slots=True)
class Child:
    """A running command of ours. Made by `start`; end it with `stop`, or let `Children` do so."""

    name: str
    process: "subprocess.Popen[bytes]"
    log: Path
    ready_fd: int
    lifeline_fd: int
    announced: dict[str, Any] = field(default_factory=dict)

    @property
    def pid(self) -> int:
        """The number of its process."""
        return self.process.pid


def start(
    arguments: Sequence[str],
    *,
    name: str,
    log: Path,
    lifeline: bool = True,
    environment: Mapping[str, str] | None = None,
    program: Sequence[str] = PROGRAM,
) -> Child:
    """Start `concura ARGUMENTS` as a child.

    Args:
        arguments: the words after `concura`.
        name: what people call it; stands in errors.
        log: file that takes what it writes to its standard error and output.
        lifeline: whether it ends with this process. Without, it stays until it is stopped.
        environment: variables to add.
        program: what is run with the arguments.

    Returns:
        The child, running; `wait_ready` or `finish` says how it got on.

    Raises:
        FolderUnusable, StoreFull: the log cannot be written.

    Example:
        >>> child = start(["hub", "serve", "hub"], name="hub", log=log)  # doctest: +SKIP
        >>> wait_ready(child)["port"]  # doctest: +SKIP
        40113
    """
    ready_read, ready_write = os.pipe()
    life_read, life_write = os.pipe()
    passed = (ready_write, life_read) if lifeline else (ready_write,)
    more = {_READY: str(ready_write)} | ({_LIFELINE: str(life_read)} if lifeline else {})
    try:
        with disk(log.parent):
            log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with log.open("ab") as sink:
                process = subprocess.Popen(  # noqa: S603 - our own program, by its full path
                    [*program, *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=sink,
                    stderr=sink,
                    pass_fds=passed,
                    start_new_session=True,
                    env=_environment(environment or {}, more),
                )
    except BaseException:
        _close(ready_read, life_write)
        raise
    finally:
        _close(ready_write, life_read)
    if not lifeline:
        _close(life_write)
    return Child(name, process, log, ready_read, life_write if lifeline else -1)


def wait_ready(child: Child, *, timeout_s: float = READY_TIMEOUT_S) -> dict[str, Any]:
    """Wait until a child says that it serves.

    Args:
        child: the child.
        timeout_s: how long to wait.

    Returns:
        What it announced, such as {"ready": True, "port": 40113}.

    Raises:
        ConcuraError: what the child could not do, as it said it.
        InternalFault: it ended without a word, or is late. It is still to be stopped.
    """
    line = _read_line(child.ready_fd, timeout_s)
    if not line:
        raise _failed(child, timeout_s, is_late=line is None)
    message = json.loads(line)
    if "error" in message:
        raise _rebuild(message["error"])
    child.announced = message
    return child.announced


def finish(child: Child, *, timeout_s: float = READY_TIMEOUT_S) -> None:
    """Wait until a child that does one thing has done it.

    Raises:
        ConcuraError: what the child could not do, as it said it.
        InternalFault: it failed without a word, or is late. It is still to be stopped.
    """
    line = _read_line(child.ready_fd, timeout_s)
    message = json.loads(line) if line else {}
    if "error" in message:
        raise _rebuild(message["error"])
    failure = _failed(child, timeout_s, is_late=line is None)
    if failure.why == "late" or failure.values["code"] != 0:
        raise failure


def stop(children: Sequence[Child], *, grace_s: float = STOP_GRACE_S) -> None:
    """End children: ask all, wait, then kill those that stay, with all that they started.

    Args:
        children: who; those that have ended already are only reaped.
        grace_s: how long they have together.
    """
    for child in children:
        with suppress(ProcessLookupError):
            child.process.terminate()
    deadline = time.monotonic() + grace_s
    for child in children:
        try:
            child.process.wait(timeout=max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, signal.SIGKILL)
            child.process.wait()
        release(child)


def release(child: Child) -> None:
    """Let go of a child's pipes. Without a lifeline it runs on."""
    _close(child.ready_fd, child.lifeline_fd)
    child.ready_fd = child.lifeline_fd = -1
    if child.process.returncode is None:
        # Popen warns about children that outlive it; this one shall, and is no longer ours to reap.
        child.process.returncode = 0


class Children:
    """Children that are stopped when the block ends, whatever ends it.

    Example:
        >>> with Children() as family:  # doctest: +SKIP
        ...     wait_ready(family.start(["hub", "serve", "hub"], name="hub", log=log))
    """

    def __init__(self, *, grace_s: float = STOP_GRACE_S) -> None:
        self._children: list[Child] = []
        self._grace_s = grace_s

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.stop()
        except BaseException:  # Ctrl-C while they were being stopped: they are stopped all the same
            self.stop()
            raise

    def stop(self) -> None:
        """End them before the block does; doing so again is harmless."""
        stop(self._children, grace_s=self._grace_s)

    def start(
        self,
        arguments: Sequence[str],
        *,
        name: str,
        log: Path,
        environment: Mapping[str, str] | None = None,
    ) -> Child:
        """Start a child with a lifeline; as the function `start`."""
        child = start(arguments, name=name, log=log, environment=environment)
        self.adopt(child)
        return child

    def adopt(self, child: Child) -> None:
        """Take a child that was started elsewhere into care."""
        self._children.append(child)


def announce(message: Mapping[str, object]) -> None:
    """Tell the parent, once, over CONCURA_READY_FD; nothing happens where no parent listens.

    Args:
        message: what to tell: at least {"ready": True}.
    """
    number = os.environ.pop(_READY, "")
    if not number.isdecimal():
        return
    with suppress(OSError):  # the parent has gone; its lifeline says so in its own way
        os.write(int(number), json.dumps(message).encode() + b"\n")
    _close(int(number))


def announce_error(error: ConcuraError) -> None:
    """Tell the parent why this child gives up."""
    values = {
        name: value if isinstance(value, str | int | float | None) else str(value)
        for name, value in error.values.items()
    }
    announce({"error": {"slug": error.slug, "why": error.why, "values": values}})


def follow_lifeline() -> None:
    """End this process when its parent is gone, if CONCURA_LIFELINE_FD names a lifeline.

    It gets SIGTERM, as from an operator, and is killed if it does not end within the grace time.
    """
    number = os.environ.pop(_LIFELINE, "")
    if number.isdecimal():
        watch_lifeline(int(number), lambda: os.kill(os.getpid(), signal.SIGTERM))


def watch_lifeline(
    fd: int, stop: Callable[[], None], *, grace_s: float = STOP_GRACE_S
) -> threading.Thread:
    """Call `stop` when the other end of a pipe closes; end the process if that does not.

    Args:
        fd: read end of the pipe.
        stop: asks this process to end; called in another thread.
        grace_s: how long it has before the process is ended without asking.

    Returns:
        The watching thread; it does not keep the process alive.
    """
    os.set_inheritable(fd, False)  # noqa: FBT003 - its only form

    def watch() -> None:
        with suppress(OSError):
            while os.read(fd, 1):
                pass
        stop()
        threading.Event().wait(grace_s)
        os.kill(os.getpid(), signal.SIGKILL)

    # A daemon thread dies with a process that ends in time, before it can kill anything.
    thread = threading.Thread(target=watch, name="lifeline", daemon=True)
    thread.start()
    return thread


def _environment(extra: Mapping[str, str], fds: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in {_LIFELINE, _READY}}
    # The child must run this very program, installed or not.
    home = str(Path(concura.__file__).parents[1])
    path = os.pathsep.join(filter(None, [home, kept.get("PYTHONPATH", "")]))
    return kept | {"PYTHONPATH": path} | dict(extra) | dict(fds)


def _read_line(fd: int, timeout_s: float) -> bytes | None:
    """Read up to the first line's end; b"" when the other end closed, None when time is up."""
    deadline = time.monotonic() + timeout_s
    data = b""
    while not data.endswith(b"\n") and len(data) < _LINE_MAX_BYTES:
        poll = select.poll()  # select() cannot take descriptors above 1023
        poll.register(fd, select.POLLIN | select.POLLHUP)
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            return None
        part = os.read(fd, _LINE_MAX_BYTES)
        if not part:
            return b""
        data += part
    return data


def _failed(child: Child, timeout_s: float, *, is_late: bool) -> InternalFault:
    """Say how a child ended, waiting for that; or that it did not."""
    told = {"name": child.name, "log": str(child.log)}
    if not is_late:
        with suppress(subprocess.TimeoutExpired):
            return InternalFault("child", code=child.process.wait(timeout=timeout_s), **told)
    return InternalFault("late", seconds=round(timeout_s), **told)


def _rebuild(said: Mapping[str, Any]) -> ConcuraError:
    todo = [ConcuraError]
    while todo:
        kind = todo.pop()
        if kind.__dict__.get("slug") == said["slug"] and kind is not ConcuraError:
            return kind(str(said["why"]), **dict(said["values"]))
        todo.extend(kind.__subclasses__())
    return InternalFault(detail=str(said["slug"]))


def _close(*fds: int) -> None:
    for fd in fds:
        if fd >= 0:
            with suppress(OSError):
                os.close(fd)
