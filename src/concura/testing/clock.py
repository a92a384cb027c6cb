"""Simulated time: an event loop that jumps to the next timer as soon as nothing else can happen.

A week of waiting takes as long as its work does, and no test sleeps. Real sockets and threads are
still looked at before each jump.

This module does NOT make anything faster that computes.
"""

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from concura.testing.ledgers import START_MS
from concura.types import TimeMs

__all__ = ["SimulatedClock", "run_simulated", "simulated"]

T = TypeVar("T")
P = ParamSpec("P")

# Real seconds after which a loop that waits for nothing at all is given up.
_DEADLOCK_S = 10.0


class _Selector(selectors.DefaultSelector):
    """Looks at real events without waiting; where there are none, time jumps."""

    elapsed_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what happened, or let `timeout` seconds of simulated time pass."""
        if timeout is None:
            events = super().select(_DEADLOCK_S)
            if not events:
                raise RuntimeError("nothing can happen any more")
            return events
        events = super().select(0)
        if not events and timeout > 0:
            self.elapsed_s += timeout
        return events


class _Loop(asyncio.SelectorEventLoop):
    """An event loop whose time is its selector's."""

    def __init__(self) -> None:
        self._simulated = _Selector()
        super().__init__(self._simulated)

    def time(self) -> float:
        """Return simulated seconds since the loop was made."""
        return self._simulated.elapsed_s


def run_simulated(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in simulated time.

    Example:
        >>> run_simulated(SimulatedClock().sleep(7 * 24 * 3600.0))
    """
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(main)


def simulated(scene: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """Turn a coroutine function into a plain one that runs in simulated time: a test's decorator.

    Example:
        >>> simulated(SimulatedClock().sleep)(3600.0)
    """

    @functools.wraps(scene)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        return run_simulated(scene(*args, **kwargs))

    return run


class SimulatedClock:
    """A `ports.Clock` in the time of the loop that `run_simulated` runs.

    Args:
        skew_ms: how far this clock is ahead of the others'; may be changed at any moment.
    """

    def __init__(self, *, skew_ms: int = 0) -> None:
        self.skew_ms = skew_ms

    def now_ms(self) -> TimeMs:
        """Return milliseconds since 1970; simulated runs begin at `ledgers.START_MS`."""
        return TimeMs(START_MS + round(1_000 * self.monotonic_s()) + self.skew_ms)

    def monotonic_s(self) -> float:
        """Return simulated seconds since the run began."""
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        """Let simulated seconds pass."""
        await asyncio.sleep(seconds)
