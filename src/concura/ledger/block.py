"""Blocks: a header of fixed layout, the sealer's signature, and the signed entries.

The header is mined first; then the sealer signs its hash, so that work cannot be moved to another
sealer. The leaf of the consortium's log is header and signature. Integers are big-endian:

    version u32 | chain 32 | height u64 | previous 32 | count u32 | root 32 | timestamp_ms u64
    | difficulty u32 | sealer 32 | nonce u64                                   = 164 bytes

A block is header, 64 bytes of Ed25519 signature, then each entry with a u32 length before it. Block
0 holds the founding document and then one founder's signature per entry.

This module does NOT verify entries or the chain: `chain.py` does.
"""

import hashlib
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from concura.errors import ChainInvalid
from concura.ledger.merkle import leaf_hash, root
from concura.limits import (
    BLOCK_MAX_BYTES,
    ENTRIES_PER_BLOCK_MAX,
    ENTRY_MAX_BYTES,
    INVITATION_MAX_BYTES,
    MEMBERS_MAX,
)
from concura.sealing.keys import verify_witness
from concura.types import Digest, Fingerprint, Height, TimeMs

__all__ = [
    "HEADER_BYTES",
    "NO_BLOCK",
    "Block",
    "Header",
    "decode_block",
    "entries_root",
    "how_many_fit",
    "sealing_message",
]

VERSION = 1
NO_BLOCK = Digest("0" * 64)  # what block 0 names as its previous one
SIGNATURE_BYTES = 64
_LAYOUT = struct.Struct(">I32sQ32sI32sQI32sQ")
HEADER_BYTES = _LAYOUT.size
_LENGTH = struct.Struct(">I")
_LABEL = b"concura block v1\n"


@dataclass(frozen=True, slots=True)
class Header:
    """What is mined and signed.

    Attributes:
        chain: digest of the founding document.
        height: number of the block; 0 is the founding one.
        previous: hash of the header before; zeros for block 0.
        count: number of entries.
        root: RFC 6962 root over the entries' bytes, hex.
        timestamp_ms: the sealer's time; never falls.
        difficulty: leading zero bits of the hash.
        sealer: fingerprint of the key that signs.
        nonce: what mining found.
        version: of this layout.
    """

    chain: Digest
    height: Height
    previous: Digest
    count: int
    root: Digest
    timestamp_ms: TimeMs
    difficulty: int
    sealer: Fingerprint
    nonce: int = 0
    version: int = VERSION

    def pack(self) -> bytes:
        """Return the 164 bytes that are hashed."""
        return _LAYOUT.pack(
            self.version,
            bytes.fromhex(self.chain),
            self.height,
            bytes.fromhex(self.previous),
            self.count,
            bytes.fromhex(self.root),
            self.timestamp_ms,
            self.difficulty,
            bytes.fromhex(self.sealer),
            self.nonce,
        )

    @classmethod
    def unpack(cls, data: bytes) -> "Header":
        """Read a header; every 164 bytes are one.

        Raises:
            ChainInvalid: `block.malformed`; another length.
        """
        if len(data) != HEADER_BYTES:
            raise _malformed("header")
        version, chain, height, previous, count, tree, time, bits, sealer, nonce = _LAYOUT.unpack(
            data
        )
        return cls(
            chain=Digest(chain.hex()),
            height=Height(height),
            previous=Digest(previous.hex()),
            count=count,
            root=Digest(tree.hex()),
            timestamp_ms=TimeMs(time),
            difficulty=bits,
            sealer=Fingerprint(sealer.hex()),
            nonce=nonce,
            version=version,
        )

    @property
    def hash(self) -> Digest:
        """SHA-256 of the packed header, hex."""
        return Digest(hashlib.sha256(self.pack()).hexdigest())


@dataclass(frozen=True, slots=True)
class Block:
    """A mined and signed header with the entries that it counts."""

    header: Header
    signature: bytes
    entries: tuple[bytes, ...]

    def encode(self) -> bytes:
        """Return the bytes that are sent and stored."""
        parts = [self.header.pack(), self.signature]
        for entry in self.entries:
            parts += (_LENGTH.pack(len(entry)), entry)
        return b"".join(parts)

    @property
    def leaf(self) -> bytes:
        """Leaf of the log: header and signature, 228 bytes."""
        return self.header.pack() + self.signature

    @property
    def leaf_hash(self) -> bytes:
        """RFC 6962 hash of the leaf, 32 bytes."""
        return leaf_hash(self.leaf)

    def is_signed_by(self, witness: bytes) -> bool:
        """Say whether the signature verifies with an Ed25519 public key (32 bytes)."""
        return verify_witness(witness, sealing_message(self.header), self.signature)


def sealing_message(header: Header) -> bytes:
    """Return what the sealer signs, once the header is mined."""
    return _LABEL + bytes.fromhex(header.hash)


def entries_root(entries: Sequence[bytes]) -> Digest:
    """Return the RFC 6962 root over entries, hex."""
    return Digest(root([leaf_hash(entry) for entry in entries]).hex())


def how_many_fit(sizes: Iterable[int], *, most: int = ENTRIES_PER_BLOCK_MAX) -> int:
    """Return how many entries of the given sizes (bytes) fit into the next block.

    Example:
        >>> how_many_fit([100, 100, 20_000_000])
        2
    """
    used, count = HEADER_BYTES + SIGNATURE_BYTES, 0
    for size in sizes:
        used += _LENGTH.size + size
        if used > BLOCK_MAX_BYTES or count == most:
            break
        count += 1
    return count


def decode_block(data: bytes) -> Block:
    """Read a block, strictly: counted entries, bounded, and nothing behind them.

    Args:
        data: at most BLOCK_MAX_BYTES.

    Returns:
        The block; nothing in it was verified.

    Raises:
        ChainInvalid: `block.malformed`.
    """
    if not HEADER_BYTES + SIGNATURE_BYTES <= len(data) <= BLOCK_MAX_BYTES:
        raise _malformed("size")
    header = Header.unpack(data[:HEADER_BYTES])
    position = HEADER_BYTES + SIGNATURE_BYTES
    signature = data[HEADER_BYTES:position]
    # The founding document is larger than any entry, and has one signature per founder behind it.
    founding = header.height == 0
    most = MEMBERS_MAX + 1 if founding else ENTRIES_PER_BLOCK_MAX
    longest = INVITATION_MAX_BYTES if founding else ENTRY_MAX_BYTES
    if header.count > most:
        raise _malformed("count")
    entries = []
    for _ in range(header.count):
        entry = _read(data, position, longest)
        entries.append(entry)
        position += _LENGTH.size + len(entry)
    if position != len(data):
        raise _malformed("end")
    return Block(header, signature, tuple(entries))


def _read(data: bytes, position: int, longest: int) -> bytes:
    start = position + _LENGTH.size
    if start > len(data):
        raise _malformed("length")
    (length,) = _LENGTH.unpack_from(data, position)
    if length > longest or start + length > len(data):
        raise _malformed("length")
    return data[start : start + length]


def _malformed(detail: str) -> ChainInvalid:
    return ChainInvalid("block.malformed", where="block", detail=detail)
