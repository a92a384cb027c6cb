"""The list of a stream's segments: what makes an upload or download resume where it stopped.

It names each segment's digest; the RFC 6962 root over them is the one in the record or on the
ledger, and a list with another root is worth nothing. It tells nothing that the stream's bytes do
not tell, so it travels in the open.

This module does NOT read or send segments. Follows docs/spec/stream.md, "Interrupted work".
"""

import hmac
from dataclasses import dataclass

from concura.canonical import decode, encode
from concura.errors import DataFileInvalid, StreamRefused
from concura.limits import INVENTORY_SEGMENTS_MAX
from concura.sealing.content import is_fingerprint
from concura.sealing.stream import LAYOUTS, Bytes, Layout, SegmentTree, segment_digest
from concura.types import Digest

__all__ = ["Inventory", "read_inventory"]

_MEMBERS = {"root", "sealed", "segment", "segments", "v"}


@dataclass(frozen=True, slots=True)
class Inventory:
    """The segments of one stream.

    Args:
        root: RFC 6962 root over `digests`, hexadecimal.
        layout: where segments begin.
        sealed_bytes: length of the stream.
        digests: SHA-256 of each segment, in order; the first one's with the header.
    """

    root: Digest
    layout: Layout
    sealed_bytes: int
    digests: tuple[bytes, ...]

    @classmethod
    def of(cls, digests: tuple[bytes, ...], *, layout: Layout, sealed_bytes: int) -> "Inventory":
        """Make the list of a stream from its segments' digests.

        Raises:
            StreamRefused: `inventory`: they are not as many as the length says.
        """
        layout.plain_bytes(sealed_bytes)
        if len(digests) != -(-sealed_bytes // layout.segment_bytes):
            raise StreamRefused("inventory")
        return cls(_root(digests), layout, sealed_bytes, digests)

    def span(self, number: int) -> tuple[int, int]:
        """Return where segment `number` begins in the stream, and how long it is."""
        start = number * self.layout.segment_bytes
        return start, min(self.layout.segment_bytes, self.sealed_bytes - start)

    def has(self, number: int, segment: Bytes) -> bool:
        """Say whether these bytes are segment `number`."""
        return (
            0 <= number < len(self.digests)
            and len(segment) == self.span(number)[1]
            and hmac.compare_digest(segment_digest(segment), self.digests[number])
        )

    def check(self, root: Digest, *, sealed_bytes: int) -> None:
        """Refuse a list that is not that of the expected stream.

        Args:
            root: the root in the record or on the ledger.
            sealed_bytes: the length that belongs to the size in the record; a root says nothing
                of the last segment's length.

        Raises:
            StreamRefused: `inventory`.
        """
        if not hmac.compare_digest(self.root, root) or self.sealed_bytes != sealed_bytes:
            raise StreamRefused("inventory")

    def encoded(self) -> bytes:
        """Return canonical JSON."""
        return encode(
            {
                "root": self.root,
                "sealed": self.sealed_bytes,
                "segment": self.layout.segment_bytes,
                "segments": [digest.hex() for digest in self.digests],
                "v": 1,
            }
        )


def read_inventory(data: bytes) -> Inventory:
    """Read a list strictly, and compute its root anew.

    Args:
        data: canonical JSON.

    Returns:
        The list; `check` says whether it is that of an expected stream.

    Raises:
        StreamRefused: `inventory`: not its form, or its digests do not give its root; `size`.

    Example:
        >>> read_inventory(inventory.encoded()) == inventory
        True
    """
    try:
        value = decode(data)
        if not isinstance(value, dict) or set(value) != _MEMBERS:
            raise StreamRefused("inventory")
        layout = {layout.segment_bytes: layout for layout in LAYOUTS}[value["segment"]]
        names, sealed = value["segments"], value["sealed"]
        whole = all(type(value[name]) is int for name in ("v", "segment", "sealed"))
        if not whole or value["v"] != 1 or not isinstance(names, list):
            raise StreamRefused("inventory")
        if len(names) > INVENTORY_SEGMENTS_MAX or not all(map(is_fingerprint, names)):
            raise StreamRefused("inventory")
        digests = tuple(bytes.fromhex(name) for name in names)
    except (DataFileInvalid, KeyError, TypeError) as error:
        raise StreamRefused("inventory") from error
    found = Inventory.of(digests, layout=layout, sealed_bytes=sealed)
    if value["root"] != found.root:
        raise StreamRefused("inventory")
    return found


def _root(digests: tuple[bytes, ...]) -> Digest:
    tree = SegmentTree()
    for digest in digests:
        tree.append(digest)
    return Digest(tree.root().hex())
