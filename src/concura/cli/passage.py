"""What `seal` and `open` share: progress that shows late, and words for what went where.

This module does NOT read or write files.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from concura.cli.output import Output
from concura.errors import UsageInvalid, say

__all__ = ["STREAM", "file_or_stream", "late_progress", "shown_time", "to_stdout"]

STREAM: Final = "-"
_PATIENCE_S: Final = 2.0
_MIB: Final = 1024 * 1024


@contextmanager
def late_progress(output: Output, label: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show how far a work is once it has taken two seconds.

    Args:
        output: where.
        label: what is done, already in the reader's language.
        total: bytes; None where nobody knows: then nothing is shown.

    Yields:
        To be called with bytes done since the last call.
    """
    steps, done, shown = max(1, (total or 0) // _MIB), 0, 0
    started = time.monotonic()
    with ExitStack() as stack:
        bar: Callable[..., None] | None = None

        def advance(count: int) -> None:
            nonlocal bar, done, shown
            done += count
            if not total or time.monotonic() - started < _PATIENCE_S:
                return
            bar = bar or stack.enter_context(output.progress(label, steps))
            now = min(steps, done // _MIB)
            if now > shown:
                bar(now - shown)
                shown = now

        yield advance


def file_or_stream(text: str) -> Path | None:
    """Return a file's path, or None for standard input or output."""
    return None if text == STREAM else Path(text).expanduser().absolute()


def to_stdout(output: Output) -> int:
    """Return standard output's descriptor, if it can take bytes.

    Raises:
        UsageInvalid: `--json` wants it too.
    """
    if output.json:
        raise UsageInvalid(detail=say("cli.usage.json_out", output.lang))
    sys.stdout.flush()
    return sys.stdout.fileno()


def shown_time(time_ms: int) -> str:
    """Write a time as people read it, in UTC."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
