"""Sealed large objects in memory (`ports.ObjectStore`).

This module does NOT check what it is given, and nothing survives the process.
"""

from concura.errors import NotFound
from concura.types import Digest

__all__ = ["MemoryObjects"]


class MemoryObjects:
    """Segments in a dictionary.

    Example:
        >>> store = MemoryObjects()
    """

    def __init__(self) -> None:
        self._objects: dict[Digest, dict[int, bytes]] = {}

    async def put_segment(self, root: Digest, number: int, data: bytes) -> None:
        """Keep one segment."""
        self._objects.setdefault(root, {})[number] = data

    async def segment(self, root: Digest, number: int) -> bytes:
        """Return one segment; raises NotFound."""
        try:
            return self._objects[root][number]
        except KeyError as error:
            raise NotFound(what=f"{root[:16]}/{number}") from error

    async def segments(self, root: Digest) -> frozenset[int]:
        """Return the numbers of the segments that are here."""
        return frozenset(self._objects.get(root, {}))

    async def delete_object(self, root: Digest) -> None:
        """Remove an object's segments."""
        self._objects.pop(root, None)
