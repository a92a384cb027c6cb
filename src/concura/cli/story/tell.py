"""Telling the story: headings, lines and times as they happen, and the object that remains.

This module does NOT do anything that it tells of.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from concura.cli.output import Output
from concura.errors import say

__all__ = ["Teller", "both"]


def both(key: str, **values: object) -> dict[str, str]:
    """Say a sentence in both languages; values that are such pairs themselves are chosen by it."""
    return {
        lang: say(
            key,
            lang,
            **{n: v[lang] if isinstance(v, dict) else v for n, v in values.items()},
        )
        for lang in ("en", "zh")
    }


class Teller:
    """Tells the story and remembers it.

    Args:
        output: where it is told.

    Attributes:
        story: what the report is drawn from; each stage fills its part.
    """

    def __init__(self, output: Output) -> None:
        self.output = output
        self.story: dict[str, Any] = {"road": [], "seconds": {}, "lang": output.lang}
        self._began = time.monotonic()

    @contextmanager
    def stage(self, name: str, number: int) -> Iterator[None]:
        """Tell a stage: its heading, what happens inside, and how long it took."""
        began = time.monotonic()
        heading = f"{number}  {say(f'story.stage.{name}', self.output.lang)}"
        self.output.line(heading, style="strong")
        yield
        seconds = time.monotonic() - began
        self.story["seconds"][name] = round(seconds, 2)
        for stop in self.story["road"]:
            if stop["stage"] == name:
                stop["seconds"] = round(seconds, 2)

    def line(self, key: str, *, style: str = "", **values: object) -> None:
        """Tell one thing that happened."""
        chosen = {
            n: v.get(self.output.lang, v.get("en")) if isinstance(v, dict) else v
            for n, v in values.items()
        }
        self.output.line("   " + say(key, self.output.lang, **chosen), style=style)

    def stop(self, name: str, key: str, **values: object) -> None:
        """Add a stop to the road of the record."""
        self.story["road"].append({"stage": name, "text": both(key, **values), "seconds": None})

    def seconds(self) -> float:
        """Return how long the story has lasted."""
        return time.monotonic() - self._began
