"""What the command line shows: sentences of the catalogue, progress, one JSON object, errors.

Sentences go to standard output, progress and errors to standard error. With `--json` there is one
object on standard output and nothing else. Colour only on a terminal, and never with NO_COLOR.

This module does NOT decide anything, and does NOT import rich before it draws a progress bar.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from concura.errors import ConcuraError, say

__all__ = ["Output", "describe"]

_COLOURS = {"good": "32", "bad": "31", "warn": "33", "quiet": "2", "strong": "1"}
_PLAIN_STEPS = 4  # lines that a progress without a terminal prints


class Output:
    """One command's way to its reader.

    Args:
        lang: `en` or `zh`.
        json: print one object at the end instead of sentences.
        color: None asks the terminal and NO_COLOR.
        stdout: where sentences go; standard output if None.
        stderr: where progress and errors go; standard error if None.

    Example:
        >>> Output("en", json=False, color=False).line("ready")
        ready
    """

    def __init__(
        self,
        lang: str = "en",
        *,
        json: bool = False,
        color: bool | None = None,
        stdout: TextIO | None = None,
        stderr: TextIO | None = None,
    ) -> None:
        self.lang = lang
        self.json = json
        self._stdout = stdout
        self._stderr = stderr
        self._color = color

    @property
    def stdout(self) -> TextIO:
        """Where sentences go, looked up late so that a redirected stream is respected."""
        return self._stdout or sys.stdout

    @property
    def stderr(self) -> TextIO:
        """Where progress and errors go."""
        return self._stderr or sys.stderr

    def say(self, key: str, **values: object) -> None:
        """Print a sentence of the catalogue; nothing with `--json`."""
        self.line(say(key, self.lang, **values))

    def line(self, text: str = "", *, style: str = "") -> None:
        """Print a line at once; nothing with `--json`.

        Args:
            text: the line.
            style: `good`, `bad`, `warn`, `quiet`, `strong` or none.
        """
        if not self.json:
            self.stdout.write(self.paint(text, style) + "\n")
            self.stdout.flush()

    def object(self, value: Any) -> None:
        """Print the one object of `--json`; nothing without."""
        if self.json:
            self.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")
            self.stdout.flush()

    def error(self, error: ConcuraError) -> None:
        """Print an error: two lines on standard error, or an object on standard output."""
        found = describe(error, self.lang)
        if self.json:
            self.object({"error": found})
            return
        self.stderr.write(self.paint(str(found["message"]), "bad", self.stderr) + "\n")
        self.stderr.write(f"{found['hint']}\n")
        self.stderr.flush()

    def paint(self, text: str, style: str, stream: TextIO | None = None) -> str:
        """Wrap a text in colour where the stream is a terminal that wants it."""
        if style not in _COLOURS or not self._wants_color(stream or self.stdout):
            return text
        return f"\x1b[{_COLOURS[style]}m{text}\x1b[0m"

    @contextmanager
    def progress(self, label: str, total: int) -> Iterator[Callable[..., None]]:
        """Show how far a work of `total` steps is.

        Args:
            label: what is being done, already in the reader's language.
            total: number of steps.

        Yields:
            `advance(steps=1, label=None)`, to be called as steps are done.
        """
        if self.json or total <= 0:
            yield _ignore
        elif _is_terminal(self.stderr):
            with _bar(self, label, total) as advance:
                yield advance
        else:
            yield _plain(self, label, total)

    def _wants_color(self, stream: TextIO) -> bool:
        if self._color is not None:
            return self._color
        return "NO_COLOR" not in os.environ and _is_terminal(stream)


def describe(error: ConcuraError, lang: str) -> dict[str, object]:
    """Say an error as the object that `--json` and the web print.

    Args:
        error: what went wrong.
        lang: `en` or `zh`.

    Returns:
        {slug, why, message, hint, exit_code}.
    """
    return {
        "slug": error.slug,
        "why": error.why,
        "message": _sentence(error.message, error.slug, "", lang),
        "hint": _sentence(error.hint, error.slug, ".hint", lang),
        "exit_code": error.exit_code,
    }


def _sentence(look_up: Callable[[str], str], slug: str, part: str, lang: str) -> str:
    # A value that the sentence wants and the error lacks must not hide the error itself.
    try:
        return look_up(lang)
    except (KeyError, IndexError):
        return say(f"error.{slug}{part}", lang)


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except (ValueError, AttributeError):  # closed, or a stand-in without the method
        return False


def _ignore(steps: int = 1, label: str | None = None) -> None:
    """Take a step that nobody sees."""


def _plain(output: Output, label: str, total: int) -> Callable[..., None]:
    done = 0

    def advance(steps: int = 1, label: str | None = label) -> None:
        nonlocal done
        before, done = done, min(total, done + steps)
        if before * _PLAIN_STEPS // total != done * _PLAIN_STEPS // total:
            output.stderr.write(f"{label} {done}/{total}\n")
            output.stderr.flush()

    return advance


@contextmanager
def _bar(output: Output, label: str, total: int) -> Iterator[Callable[..., None]]:
    # rich costs a tenth of a second to import; only a terminal needs it.
    from rich.console import Console  # noqa: PLC0415 - lazy on purpose
    from rich.progress import (  # noqa: PLC0415 - lazy on purpose
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
    )

    console = Console(file=output.stderr, no_color=not output._wants_color(output.stderr))  # noqa: SLF001 - same module
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(label, total=total)

        def advance(steps: int = 1, label: str | None = None) -> None:
            bar.update(task, advance=steps, description=label)

        yield advance
