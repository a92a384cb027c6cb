"""The `.sealed` file: a sealed record with the content key, then the stream under that key.

    "concura-sealed-1" || u32be length || sealed record || stream

The record's body, the manifest, holds the content key, the name, the size, and the digest of the
stream: whoever is named as a reader knows the key, so only the digest under the sender's signature
keeps one reader from sending the others another stream. Outside stand lengths and readers'
fingerprints, nothing else: not the sender, not the time, not the name.

This module does NOT seal the record (`envelope.py`) or the segments (`stream.py`), and does NOT
judge whether a sender is to be trusted. Byte-exact in docs/spec/stream.md.
"""

import re
from dataclasses import dataclass
from typing import Final

from concura.canonical import b64decode, b64encode, decode, encode
from concura.errors import DataFileInvalid, StreamRefused
from concura.limits import FILE_NAME_MAX_BYTES, FILE_RECORD_MAX_BYTES, INTEGER_MAX
from concura.sealing.content import Context, is_fingerprint
from concura.sealing.keys import CONTENT_KEY_BYTES, fingerprint
from concura.sealing.stream import LAYOUTS, Layout
from concura.types import Digest, Fingerprint

__all__ = [
    "MAGIC",
    "MANIFEST_TYPE",
    "PRELUDE_BYTES",
    "PURPOSE",
    "Manifest",
    "associated_data",
    "is_file_name",
    "make_prelude",
    "package_context",
    "read_manifest",
    "read_prelude",
]

MAGIC: Final = b"concura-sealed-1"
PRELUDE_BYTES: Final = len(MAGIC) + 4
PURPOSE: Final = "file"
MANIFEST_TYPE: Final = "application/vnd.concura.object+json"

_CONTENTS = ("file", "folder")
_MEMBERS = {"content", "key", "name", "root", "segment", "sender", "size", "time", "v"}
_NUMBER = re.compile(r"[0-9a-f]{14}")
_FORBIDDEN = re.compile(r"[/\\\x00-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a reader must know of a stream; it stands sealed and signed ahead of it.

    Args:
        content: `file`, or `folder`: the stream holds a tar archive.
        key: the content key of the stream, 32 bytes.
        name: what the object is called; empty where it came from a pipe.
        root: RFC 6962 root over the segments' SHA-256, hexadecimal.
        layout: where segments begin.
        sender: the sender's public signing key, SubjectPublicKeyInfo DER. A claim like all of it,
            until the record's signature verifies under it and somebody vouches for its fingerprint.
        size_bytes: length of the plaintext.
        time_ms: when it was sealed, by the sender's clock.
    """

    content: str
    key: bytes
    name: str
    root: Digest
    layout: Layout
    sender: bytes
    size_bytes: int
    time_ms: int

    def encoded(self) -> bytes:
        """Return the record's body: canonical JSON whose length does not depend on root and size.

        The record stands ahead of the stream but is written after it: its place is kept free, and
        so its length must be known before. Numbers have a fixed width for that.

        Raises:
            StreamRefused: `manifest`: a value has not its form.
        """
        data = encode(
            {
                "content": self.content,
                "key": b64encode(self.key),
                "name": self.name,
                "root": self.root,
                "segment": self.layout.segment_bytes,
                "sender": b64encode(self.sender),
                "size": f"{self.size_bytes:014x}",
                "time": f"{self.time_ms:014x}",
                "v": 1,
            }
        )
        # What its own reader would refuse must not leave the house.
        read_manifest(data)
        return data


def read_manifest(data: bytes) -> Manifest:
    """Read a manifest strictly.

    Args:
        data: the record's body.

    Returns:
        The manifest; as true as its record is verified.

    Raises:
        StreamRefused: `manifest`: not canonical, a member too many or too few, or a value has not
            its form.

    Example:
        >>> read_manifest(record.body).name
        'scan.dcm'
    """
    try:
        value = decode(data)
        if not isinstance(value, dict) or set(value) != _MEMBERS:
            raise StreamRefused("manifest")
        layout = {layout.segment_bytes: layout for layout in LAYOUTS}[value["segment"]]
        manifest = Manifest(
            content=value["content"],
            key=b64decode(value["key"]),
            name=value["name"],
            root=Digest(value["root"]),
            layout=layout,
            sender=b64decode(value["sender"]),
            size_bytes=_number(value["size"]),
            time_ms=_number(value["time"]),
        )
    except (DataFileInvalid, ValueError, KeyError, TypeError) as error:
        raise StreamRefused("manifest") from error
    well_formed = (
        type(value["v"]) is int
        and value["v"] == 1
        and type(value["segment"]) is int
        and manifest.content in _CONTENTS
        and len(manifest.key) == CONTENT_KEY_BYTES
        and (manifest.name == "" or is_file_name(manifest.name))
        and is_fingerprint(manifest.root)
    )
    if not well_formed:
        raise StreamRefused("manifest")
    return manifest


def is_file_name(name: object) -> bool:
    """Say whether a text is a plain file name: no folder in it, nothing that a terminal obeys."""
    return (
        isinstance(name, str)
        and name not in {"", ".", ".."}
        and _FORBIDDEN.search(name) is None
        and len(name.encode()) <= FILE_NAME_MAX_BYTES
    )


def package_context(transfer: str, sender: bytes, recipients: tuple[Fingerprint, ...]) -> Context:
    """Return the context of a package's record: no ledger, no consent, the sender by its key.

    Args:
        transfer: 32 random hexadecimal digits.
        sender: public signing key of the sender, DER.
        recipients: fingerprints of the readers' wrap keys.
    """
    return Context(
        chain="",
        transfer=transfer,
        consent="",
        purpose=PURPOSE,
        sender=fingerprint(sender),
        recipients=recipients,
        checkpoint="",
    )


def associated_data(transfer: str) -> bytes:
    """Return what a package's stream is bound to: its record's transfer."""
    return b"concura stream " + transfer.encode("ascii")


def make_prelude(record_bytes: int) -> bytes:
    """Return what stands ahead of a record of this length.

    Raises:
        StreamRefused: `record`: the record is too long.
    """
    if not 0 < record_bytes <= FILE_RECORD_MAX_BYTES:
        raise StreamRefused("record")
    return MAGIC + record_bytes.to_bytes(4, "big")


def read_prelude(data: bytes) -> int:
    """Read the first 20 bytes of a `.sealed` file.

    Args:
        data: the bytes; fewer where the file is shorter.

    Returns:
        The length of the record that follows.

    Raises:
        StreamRefused: `empty`: there is nothing; `magic`: another kind of file; `record`: the
            record's length is not possible.

    Example:
        >>> read_prelude(make_prelude(4_711))
        4711
    """
    if not data:
        raise StreamRefused("empty")
    if len(data) < PRELUDE_BYTES or not data.startswith(MAGIC):
        raise StreamRefused("magic")
    length = int.from_bytes(data[len(MAGIC) :], "big")
    if not 0 < length <= FILE_RECORD_MAX_BYTES:
        raise StreamRefused("record")
    return length


def _number(text: object) -> int:
    if not isinstance(text, str) or _NUMBER.fullmatch(text) is None or int(text, 16) > INTEGER_MAX:
        raise ValueError("number")
    return int(text, 16)
