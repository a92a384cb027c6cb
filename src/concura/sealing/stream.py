"""Sealed large objects, one segment by number, under a key of the stream's own.

The layout is Tink's streaming AEAD AES256_GCM_HKDF_1MB, byte for byte: a header 0x28 || salt[32]
|| prefix[7]; key = HKDF-SHA-256(content key, salt, info = associated data); segments of 1,048,576
bytes with their tags, the first shorter by the header; nonce = prefix || u32be number || last flag.
That is the STREAM construction of Hoang, Reyhanitabar, Rogaway and Vizár (2015): a segment that is
moved, doubled or left out has another nonce and does not open; the last one says that it is last.
The suite `sm` puts SM4-GCM and SM3 in the same places; no other program reads that.

This module does NOT read, write, draw salts or start threads: `adapters/segments.py` does. It
cannot know whether a salt was used before; see `SegmentCipher`. Byte-exact in docs/spec/stream.md.
"""

import hashlib
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes

from concura.errors import StreamRefused
from concura.limits import STREAM_SEGMENTS_MAX
from concura.sealing.suite import AES, Suite

__all__ = [
    "HEADER_BYTES",
    "LARGE",
    "LAYOUTS",
    "PREFIX_BYTES",
    "SMALL",
    "STREAM_SALT_BYTES",
    "Bytes",
    "Layout",
    "SegmentCipher",
    "SegmentTree",
    "make_header",
    "segment_digest",
]

STREAM_SALT_BYTES: Final = 32
PREFIX_BYTES: Final = 7
HEADER_BYTES: Final = 1 + STREAM_SALT_BYTES + PREFIX_BYTES
_TAG_BYTES: Final = 16

# What segments are handed over in: views of reused buffers, so that no byte is copied in between.
Bytes = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class Layout:
    """Where each segment of a stream begins and how much it holds.

    Args:
        segment_bytes: length of a whole segment with its tag (the first one: and with the header).

    Example:
        >>> LARGE.sealed_bytes(0), LARGE.count(1_048_520), LARGE.count(1_048_521)
        (56, 1, 2)
    """

    segment_bytes: int

    def plain_start(self, number: int) -> int:
        """Return where the plaintext of segment `number` begins in the object."""
        return max(0, number * self.capacity(1) - HEADER_BYTES)

    def sealed_start(self, number: int) -> int:
        """Return where the ciphertext of segment `number` begins in the stream."""
        return number * self.segment_bytes if number else HEADER_BYTES

    def capacity(self, number: int) -> int:
        """Return how many bytes of plaintext fit into segment `number`."""
        return self.segment_bytes - _TAG_BYTES - (0 if number else HEADER_BYTES)

    def count(self, plain_bytes: int) -> int:
        """Return how many segments an object has; an empty one has one."""
        return max(1, -(-(plain_bytes + HEADER_BYTES) // self.capacity(1)))

    def plain_length(self, number: int, plain_bytes: int) -> int:
        """Return how many bytes of plaintext segment `number` of an object holds."""
        return min(self.capacity(number), plain_bytes - self.plain_start(number))

    def sealed_bytes(self, plain_bytes: int) -> int:
        """Return the length of the stream over an object of `plain_bytes`."""
        return HEADER_BYTES + plain_bytes + _TAG_BYTES * self.count(plain_bytes)

    def plain_bytes(self, sealed_bytes: int) -> int:
        """Return the length of the object in a stream of `sealed_bytes`.

        Raises:
            StreamRefused: `size`: no stream has this length; it was cut or lengthened.
        """
        count = max(1, -(-sealed_bytes // self.segment_bytes))
        plain = sealed_bytes - HEADER_BYTES - _TAG_BYTES * count
        # Lengths within a tag of a segment's border belong to no object.
        if plain < 0 or self.sealed_bytes(plain) != sealed_bytes:
            raise StreamRefused("size")
        return plain

    def numbers(self, start: int, end: int) -> range:
        """Return the numbers of the segments that hold bytes `start` to `end` of the object."""
        width = self.capacity(1)
        return range((start + HEADER_BYTES) // width, -(-(end + HEADER_BYTES) // width))


LARGE: Final = Layout(1_048_576)  # Tink's AES256_GCM_HKDF_1MB: what is written
SMALL: Final = Layout(4_096)  # Tink's AES256_GCM_HKDF_4KB: many segments in few bytes
LAYOUTS: Final = (SMALL, LARGE)


def make_header(salt: bytes, prefix: bytes) -> bytes:
    """Return a stream's header.

    Args:
        salt: 32 random bytes, drawn for this stream alone.
        prefix: 7 random bytes, drawn for this stream alone.

    Returns:
        40 bytes.

    Raises:
        ValueError: another length.

    Example:
        >>> make_header(bytes(32), bytes(7))[:1]
        b'('
    """
    if len(salt) != STREAM_SALT_BYTES or len(prefix) != PREFIX_BYTES:
        raise ValueError("stream salt or prefix")
    return bytes([HEADER_BYTES]) + salt + prefix


def segment_digest(sealed: Bytes, *, header: bytes = b"", suite: Suite = AES) -> bytes:
    """Return the digest of a sealed segment as it stands in the stream: SHA-256, or SM3.

    The RFC 6962 root over these digests, in order, is what the ledger and the record name.

    Args:
        sealed: ciphertext and tag.
        header: the stream's header, for segment 0 alone: it is part of that segment.
        suite: of the stream.

    Returns:
        32 bytes.

    Example:
        >>> segment_digest(b"abc").hex()[:8]
        'ba7816bf'
    """
    digest = hashes.Hash(suite.hash())
    digest.update(header)
    digest.update(sealed)
    return digest.finalize()


class SegmentTree:
    """The RFC 6962 root (§2.1) over segments' digests, taken in order, in a few hashes of memory.

    `ledger.merkle` has the same tree with its proofs, one layer up; a test holds them together.

    Example:
        >>> tree = SegmentTree()
        >>> tree.append(segment_digest(b"abc"))
        >>> tree.root().hex()[:8]
        'dd48ba53'
    """

    __slots__ = ("_peaks", "_size")

    def __init__(self) -> None:
        self._peaks, self._size = list[bytes](), 0

    def append(self, digest: bytes) -> None:
        """Take the next segment's digest, 32 bytes."""
        value = hashlib.sha256(b"\x00" + digest).digest()
        size = self._size
        while size & 1:  # two complete trees of one height become one
            value = hashlib.sha256(b"\x01" + self._peaks.pop() + value).digest()
            size >>= 1
        self._peaks.append(value)
        self._size += 1

    def root(self) -> bytes:
        """Return the root over all digests so far, 32 bytes; at least one must be there."""
        value = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            value = hashlib.sha256(b"\x01" + peak + value).digest()
        return value


class SegmentCipher:
    """Seals and opens the segments of one stream; safe to share between threads.

    The nonce is a function of the segment's number: sealing two plaintexts as the same segment
    under one content key, salt and prefix gives their difference away and lets anyone forge.
    So whoever seals MUST draw content key, salt and prefix for each attempt and MUST NOT seal after
    an interruption with those of before: what was stored is uploaded again as it is, or the object
    is sealed anew. With fresh keys even two equal salts would do no harm, and the other way round.

    Args:
        key: the content key, 32 bytes (`sm`: 16).
        header: from `make_header`, or read from a stream.
        associated: what the stream is bound to; Tink's associated data.
        layout: where segments begin.
        suite: of the stream.

    Raises:
        StreamRefused: `header`: not the header of such a stream.
        ValueError: the content key has another length.

    Example:
        >>> cipher = SegmentCipher(bytes(32), make_header(bytes(32), bytes(7)), associated=b"")
        >>> room = bytearray(2 + 16)
        >>> cipher.seal(0, b"hi", room, is_last=True)
    """

    __slots__ = ("_aead", "_prefix", "header", "layout", "suite")

    def __init__(
        self,
        key: bytes,
        header: bytes,
        *,
        associated: bytes,
        layout: Layout = LARGE,
        suite: Suite = AES,
    ) -> None:
        if len(key) != suite.key_bytes:
            raise ValueError("stream key")
        if len(header) != HEADER_BYTES or header[0] != HEADER_BYTES:
            raise StreamRefused("header")
        salt, self._prefix = header[1 : 1 + STREAM_SALT_BYTES], header[1 + STREAM_SALT_BYTES :]
        own = suite.derive(key, associated, length=suite.key_bytes, salt=salt)
        self._aead = suite.aead(own)
        self.header, self.layout, self.suite = header, layout, suite

    def seal(self, number: int, plain: Bytes, into: Bytes, *, is_last: bool) -> None:
        """Seal one segment into a buffer that is 16 bytes longer; once per number and stream.

        Args:
            number: which segment, from 0.
            plain: at most `layout.capacity(number)` bytes, exactly so many unless it is the last.
            into: writable, `len(plain) + 16` bytes.
            is_last: whether the stream ends here.

        Raises:
            ValueError: a length or the number is not possible.
        """
        self._check(number, len(memoryview(plain)), is_last=is_last)
        nonce = self._nonce(number, is_last=is_last)
        # In place: a copy of each segment would cost a tenth.
        self._aead.encrypt_into(nonce, plain, None, into)

    def open(self, number: int, sealed: Bytes, into: Bytes, *, is_last: bool) -> None:
        """Open one segment into a buffer that is 16 bytes shorter.

        Args:
            number: which segment, from 0.
            sealed: ciphertext and tag.
            into: writable, `len(sealed) - 16` bytes; MUST NOT be used if this raises.
            is_last: whether the stream ends here.

        Raises:
            StreamRefused: `segment`: changed, moved, doubled, from another stream, or the stream
                was cut or lengthened; `size`: no segment has this length.
        """
        try:
            self._check(number, len(memoryview(sealed)) - _TAG_BYTES, is_last=is_last)
        except ValueError as error:
            raise StreamRefused("size") from error
        nonce = self._nonce(number, is_last=is_last)
        try:
            self._aead.decrypt_into(nonce, sealed, None, into)
        except InvalidTag as error:
            raise StreamRefused("segment", number=number) from error

    def _check(self, number: int, length: int, *, is_last: bool) -> None:
        if not 0 <= number < STREAM_SEGMENTS_MAX:
            raise ValueError("segment number")
        capacity = self.layout.capacity(number)
        if not (0 <= length <= capacity if is_last else length == capacity):
            raise ValueError("segment length")
        if length == 0 and number:  # only an empty object ends in an empty segment
            raise ValueError("segment length")

    def _nonce(self, number: int, *, is_last: bool) -> bytes:
        return self._prefix + number.to_bytes(4, "big") + (b"\x01" if is_last else b"\x00")
