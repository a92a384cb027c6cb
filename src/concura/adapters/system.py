"""The machine itself: its clock, its randomness, and what this process must not leave behind.

This module does NOT wipe memory: Python cannot (docs/threat-model.md, non-goals).
"""

import asyncio
import os
import secrets
import time

from concura.types import TimeMs

__all__ = ["SystemClock", "SystemRandomness", "harden_process"]


class SystemClock:
    """The system's time (`ports.Clock`).

    Example:
        >>> SystemClock().now_ms() > 0
        True
    """

    __slots__ = ()

    def now_ms(self) -> TimeMs:
        """Return milliseconds since 1970-01-01T00:00:00Z; may step when the clock is set."""
        return TimeMs(time.time_ns() // 1_000_000)

    def monotonic_s(self) -> float:
        """Return seconds since an arbitrary start; never steps back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Let `seconds` pass."""
        await asyncio.sleep(seconds)


class SystemRandomness:
    """The operating system's generator (`ports.Randomness`).

    Example:
        >>> len(SystemRandomness().draw(32))
        32
    """

    __slots__ = ()

    def draw(self, count: int) -> bytes:
        """Return `count` fresh bytes."""
        return secrets.token_bytes(count)


def harden_process() -> None:
    """Allow no core dump, and let others read no file that this process makes.

    A core dump would hold keys and plaintext; it is off where the system has limits (not on
    Windows). Call it first in every process that holds a key.

    Example:
        >>> harden_process()
    """
    os.umask(0o077)
    try:
        import resource  # noqa: PLC0415 - the module exists on POSIX only
    except ImportError:
        return
    # One byte, not none: Linux hands a core to a program (core(5), "Piping core dumps") whatever
    # the limit is, with this one exception; and a file of one byte holds no core, so none is made.
    resource.setrlimit(resource.RLIMIT_CORE, (1, 1))
