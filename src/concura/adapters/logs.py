"""The operator's log: one JSON line per event, rotated, and free of patient data by construction.

A line holds words and ids: time, level, part, event, and for a fault the type of the exception and
the places it went through, never its message. A value that is not a short id-like word or a number
is withheld, whatever a caller passes. Lines of other libraries keep their part and level only;
access lines with addresses are not written at all.

This module does NOT keep the access log of patients' records (PROTOCOLS §6): that is evidence.
"""

import datetime as dt
import json
import logging
import logging.handlers
import os
import re
import sys
import traceback
from io import TextIOWrapper
from pathlib import Path
from types import TracebackType

from concura.adapters.folders import disk
from concura.errors import ConcuraError

__all__ = ["LEVELS", "configure_logs", "withhold"]

LEVELS = ("debug", "info", "warning", "error")

# An id, a number, a path, an address: no spaces, no other alphabet, no sentence.
_WORD = re.compile(r"[A-Za-z0-9_.:/@+=,\[\]-]{0,200}")
_TRUSTED = ("concura", "uvicorn.error")  # their templates are words; their values are filtered
_NOISY = ("uvicorn.access", "httpx", "httpcore", "hpack", "asyncio")  # addresses, reprs of objects


def configure_logs(
    path: Path, *, level: str = "info", max_bytes: int = 10 * 1024 * 1024, keep: int = 5
) -> None:
    """Write every event of this process to a file from now on.

    Args:
        path: the file, such as `logs/hub.jsonl`; its folder is made.
        level: `debug`, `info`, `warning` or `error`.
        max_bytes: size at which a new file is begun.
        keep: how many older files stay.

    Raises:
        FolderUnusable, StoreFull: the file cannot be opened.

    Example:
        >>> configure_logs(Path("logs/hub.jsonl"), level="info")  # doctest: +SKIP
        >>> logging.getLogger("concura.hub").info("block sealed %s", 7)  # doctest: +SKIP
    """
    with disk(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handler = _File(path, maxBytes=max_bytes, backupCount=keep, encoding="utf-8")
    handler.setFormatter(_Line())
    root = logging.getLogger()
    for old in list(root.handlers):
        if isinstance(old, _File):
            root.removeHandler(old)
            old.close()
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    for name in _TRUSTED:
        logging.getLogger(name).setLevel(level.upper())
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    logging.captureWarnings(capture=True)
    sys.excepthook = _last_words


def withhold(value: object) -> object:
    """Let an id or a number through, and replace anything else by its kind.

    Args:
        value: what a caller wants in the log.

    Returns:
        The value, or `<type withheld>`.

    Example:
        >>> withhold("hospital-a"), withhold("Wang Fang"), withhold(b"key")
        ('hospital-a', '<str withheld>', '<bytes withheld>')
    """
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if isinstance(value, str) and _WORD.fullmatch(value):
        return str(value)
    return f"<{type(value).__name__} withheld>"


class _Line(logging.Formatter):
    """One event as one JSON line."""

    def format(self, record: logging.LogRecord) -> str:
        when = dt.datetime.fromtimestamp(record.created, dt.UTC)
        line: dict[str, object] = {
            "time": when.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "part": record.name,
            "pid": record.process,
            "event": _event(record),
        }
        if record.exc_info and record.exc_info[1] is not None:
            line["fault"] = _fault(record.exc_info[1])
        return json.dumps(line, ensure_ascii=True)


class _File(logging.handlers.RotatingFileHandler):
    """A rotating file that only its owner can read, and that never stops the service."""

    def _open(self) -> TextIOWrapper:
        handle = os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        return os.fdopen(handle, "a", encoding="utf-8")

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's own name
        """Drop a line that cannot be written: a full disk must not take the node with it."""


def _event(record: logging.LogRecord) -> str:
    if not _is_of(record.name, _TRUSTED) or not isinstance(record.msg, str):
        return "<message withheld>"
    args = record.args
    if not args:
        return record.msg
    try:
        if isinstance(args, dict):
            return record.msg % {name: withhold(value) for name, value in args.items()}
        return record.msg % tuple(withhold(value) for value in args)
    except (TypeError, ValueError, KeyError):  # %d met something that was withheld
        return record.msg


def _fault(error: BaseException) -> dict[str, object]:
    frames = traceback.extract_tb(error.__traceback__)
    where = [f"{Path(frame.filename).name}:{frame.lineno}:{frame.name}" for frame in frames]
    fault: dict[str, object] = {"type": type(error).__name__, "where": where}
    if isinstance(error, ConcuraError):
        fault |= {"slug": error.slug, "why": withhold(error.why)}
    if error.__cause__ is not None:
        fault["cause"] = type(error.__cause__).__name__
    return fault


def _is_of(name: str, families: tuple[str, ...]) -> bool:
    return any(name == family or name.startswith(f"{family}.") for family in families)


def _last_words(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    # Python's own hook would print the exception's message, which may quote data.
    logging.getLogger("concura").critical("ended by a fault", exc_info=(kind, error, trace))
