"""Reading members of a JSON object strictly, with the path in the error.

This module does NOT know what the members mean.
"""

import math
from collections.abc import Mapping

from concura.errors import MappingInvalid
from concura.types import JsonObject

__all__ = ["Fields"]


class Fields:
    """A JSON object whose members are taken by type. Every method raises MappingInvalid."""

    __slots__ = ("path", "raw")

    def __init__(self, raw: object, path: str) -> None:
        if not isinstance(raw, dict):
            raise MappingInvalid("member_object", path=path)
        self.raw: JsonObject = raw
        self.path = path

    def text(self, key: str, *, empty: bool = False) -> str:
        """Take a string."""
        value = self.raw.get(key)
        if not isinstance(value, str) or not (value or empty):
            raise self._wrong(key, "text")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """Take a list of strings."""
        value = self.raw.get(key)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self._wrong(key, "texts")
        return tuple(value)

    def flag(self, key: str) -> bool:
        """Take true or false."""
        value = self.raw.get(key)
        if not isinstance(value, bool):
            raise self._wrong(key, "flag")
        return value

    def number(self, key: str) -> float:
        """Take a finite number."""
        value = self.raw.get(key)
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not math.isfinite(value)
        ):
            raise self._wrong(key, "number")
        return float(value)

    def whole(self, key: str) -> int:
        """Take a positive integer."""
        value = self.raw.get(key)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self._wrong(key, "whole")
        return value

    def choice(self, key: str, allowed: tuple[str, ...]) -> str:
        """Take one of some words."""
        value = self.raw.get(key)
        if not isinstance(value, str) or value not in allowed:
            raise MappingInvalid(
                "member_choice", path=f"{self.path}.{key}", allowed=", ".join(allowed)
            )
        return value

    def span(self, key: str) -> tuple[float, float]:
        """Take a list [low, high] of numbers."""
        value = self.raw.get(key)
        if not isinstance(value, list) or len(value) != 2:
            raise self._wrong(key, "span")
        low, high = (Fields({"x": item}, f"{self.path}.{key}").number("x") for item in value)
        if low >= high:
            raise self._wrong(key, "span")
        return low, high

    def words(self, key: str, *, languages: bool = True) -> Mapping[str, str]:
        """Take an object of strings; with `languages`, exactly English and Chinese."""
        value = self.raw.get(key)
        if not isinstance(value, dict) or not all(isinstance(w, str) and w for w in value.values()):
            raise self._wrong(key, "words")
        if languages and set(value) != {"en", "zh"}:
            raise self._wrong(key, "languages")
        return value

    def inner(self, key: str) -> "Fields":
        """Take an object."""
        return Fields(self.raw.get(key), f"{self.path}.{key}")

    def list_of(self, key: str) -> list["Fields"]:
        """Take a list of objects."""
        value = self.raw.get(key)
        if not isinstance(value, list):
            raise self._wrong(key, "list")
        return [Fields(item, f"{self.path}.{key}[{i}]") for i, item in enumerate(value)]

    def _wrong(self, key: str, expected: str) -> MappingInvalid:
        return MappingInvalid(f"member_{expected}", path=f"{self.path}.{key}")
