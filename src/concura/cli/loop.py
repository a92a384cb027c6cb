"""Running a server and its use cases until somebody stops them.

SIGTERM, SIGINT and SIGHUP ask for the end; the server then finishes open requests, the use cases
are cancelled, and a use case that fails takes the whole process with it.

This module does NOT know what runs.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any

from concura.errors import ConcuraError

__all__ = ["run_until_stopped"]

try:
    from uvloop import new_event_loop
except ImportError:  # platforms without it, such as Windows
    new_event_loop = asyncio.new_event_loop  # type: ignore[assignment]  # the same signature


def run_until_stopped(
    main: Callable[[asyncio.Event], Awaitable[None]],
    *,
    beside: Callable[[], Coroutine[Any, Any, None]],
) -> None:
    """Run `main` and, beside it, `beside`, until a signal or a failure.

    Args:
        main: the server; it ends when the event that it is given is set.
        beside: the use cases; runs for ever.

    Raises:
        ConcuraError: what a use case failed with.
    """
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        try:
            runner.run(_run(main, beside))
        except* ConcuraError as group:
            raise _first(group) from None


async def _run(
    main: Callable[[asyncio.Event], Awaitable[None]],
    beside: Callable[[], Coroutine[Any, Any, None]],
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in ("SIGTERM", "SIGINT", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            with suppress(RuntimeError):  # platforms without it raise one too
                loop.add_signal_handler(number, stop.set)
    work = asyncio.ensure_future(beside())
    work.add_done_callback(lambda _done: stop.set())
    try:
        await main(stop)
    finally:
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work


def _first(group: BaseExceptionGroup[ConcuraError]) -> ConcuraError:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, ConcuraError)
    return error
