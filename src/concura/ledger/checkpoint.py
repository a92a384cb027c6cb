"""Checkpoints: the head of the log as a signed note, and the witnesses' co-signatures on it.

Byte-exact after C2SP signed-note v1.0.0, tlog-checkpoint v1.0.0 (signature type 0x01) and
tlog-cosignature v1.0.0 (cosignature/v1, type 0x04), so that any witness of that family can follow.
The key name is the hub's name, or the member's id.

This module does NOT check consistency between two heads: `merkle.verify_consistency` does.
"""

import base64
import binascii
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from concura.errors import ChainInvalid
from concura.limits import INTEGER_MAX, NOTE_MAX_BYTES
from concura.sealing.keys import verify_witness
from concura.types import Digest, MemberId

__all__ = [
    "Checkpoint",
    "Note",
    "NoteLine",
    "assemble",
    "body",
    "cosignature_line",
    "cosignature_message",
    "cosigners",
    "has_quorum",
    "key_id",
    "origin_of",
    "parse_note",
    "sign_line",
    "verify_checkpoint",
    "verify_cosignature",
]

ED25519 = 0x01
COSIGNATURE = 0x04
_DASH = "— "  # em dash and space, signed-note "Format"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The head of a log: its origin line, number of leaves, and RFC 6962 root (32 bytes)."""

    origin: str
    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class NoteLine:
    """One signature line: key name, key id (4 bytes) and what follows it."""

    name: str
    key: bytes
    signature: bytes

    def encode(self) -> bytes:
        """Return the line with its newline."""
        text = base64.b64encode(self.key + self.signature).decode("ascii")
        return f"{_DASH}{self.name} {text}\n".encode()


@dataclass(frozen=True, slots=True)
class Note:
    """A signed note, taken apart: the text with its final newline, and the signature lines."""

    text: bytes
    lines: tuple[NoteLine, ...]


def origin_of(chain: Digest) -> str:
    """Return the origin line of a chain's log.

    Example:
        >>> origin_of(Digest("ab" * 32))
        'concura/abababababababab'
    """
    return f"concura/{chain[:16]}"


def body(origin: str, size: int, root: bytes) -> bytes:
    """Return the note text of a checkpoint: what the hub signs as it is."""
    return f"{origin}\n{size}\n{base64.b64encode(root).decode('ascii')}\n".encode()


def key_id(name: str, kind: int, public: bytes) -> bytes:
    """Return the four bytes that name a key in a signature line (signed-note "Signatures")."""
    return hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + public).digest()[:4]


def sign_line(name: str, public: bytes, signature: bytes) -> bytes:
    """Return the log's own signature line (Ed25519 over the note text)."""
    return NoteLine(name, key_id(name, ED25519, public), signature).encode()


def cosignature_message(text: bytes, time_s: int) -> bytes:
    """Return what a witness signs: label, time and the note text.

    Args:
        text: the note text of the checkpoint (`body` or `Note.text`).
        time_s: seconds since 1970-01-01T00:00:00Z.
    """
    return f"cosignature/v1\ntime {time_s}\n".encode() + text


def cosignature_line(name: str, public: bytes, *, time_s: int, signature: bytes) -> bytes:
    """Return a witness's signature line: the time as u64 before the signature."""
    stamped = time_s.to_bytes(8, "big") + signature
    return NoteLine(name, key_id(name, COSIGNATURE, public), stamped).encode()


def assemble(text: bytes, lines: Iterable[bytes]) -> bytes:
    """Join a note text and signature lines to a signed note."""
    return text + b"\n" + b"".join(lines)


def parse_note(data: bytes) -> Note:
    """Take a signed note apart, strictly.

    Raises:
        ChainInvalid: `checkpoint.malformed`.
    """
    if len(data) > NOTE_MAX_BYTES:
        raise _malformed("size")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _malformed("UTF-8") from error
    if any(ord(char) < 0x20 and char != "\n" for char in text):
        raise _malformed("control")
    head, gap, tail = text.rpartition("\n\n")
    if not gap or not head or not tail.endswith("\n"):
        raise _malformed("lines")
    lines = tuple(_parse_line(line) for line in tail[:-1].split("\n"))
    return Note(f"{head}\n".encode(), lines)


def _parse_line(line: str) -> NoteLine:
    name, gap, text = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not name or not gap or "+" in name:
        raise _malformed("line")
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _malformed("base64") from error
    # Loose trailing bits would give one signature two texts.
    if len(raw) <= 4 or base64.b64encode(raw).decode("ascii") != text:
        raise _malformed("base64")
    return NoteLine(name, raw[:4], raw[4:])


def _parse_text(text: bytes) -> Checkpoint:
    lines = text.decode("utf-8").split("\n")
    # No extension lines: no witness could check them.
    if len(lines) != 4 or not lines[0]:
        raise _malformed("text")
    origin, size, root, _ = lines
    if not size.isascii() or not size.isdigit() or len(size) > 16 or int(size) > INTEGER_MAX:
        raise _malformed("size")
    try:
        value = base64.b64decode(root, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _malformed("root") from error
    checkpoint = Checkpoint(origin, int(size), value)
    if len(value) != 32 or body(origin, int(size), value) != text:
        raise _malformed("text")
    return checkpoint


def verify_checkpoint(data: bytes, *, name: str, public: bytes, origin: str) -> Checkpoint:
    """Read a checkpoint and verify the log's own signature.

    Args:
        data: the signed note, with or without co-signatures.
        name: the hub's key name.
        public: the hub's Ed25519 public key, 32 bytes.
        origin: `origin_of(chain)`.

    Returns:
        The checkpoint.

    Raises:
        ChainInvalid: `checkpoint.malformed`, `checkpoint.origin` or `checkpoint.signature`.
    """
    note = parse_note(data)
    checkpoint = _parse_text(note.text)
    if checkpoint.origin != origin:
        raise ChainInvalid("checkpoint.origin", where="checkpoint", detail="origin")
    wanted = (name, key_id(name, ED25519, public))
    own = [line for line in note.lines if (line.name, line.key) == wanted]
    # Lines of unknown keys are ignored; one of a known key that fails refuses the whole note.
    if not own or not all(verify_witness(public, note.text, line.signature) for line in own):
        raise ChainInvalid("checkpoint.signature", where="checkpoint", detail=name)
    return checkpoint


def verify_cosignature(text: bytes, line: bytes | NoteLine, *, name: str, public: bytes) -> int:
    """Verify one witness's line over a checkpoint.

    Args:
        text: the note text that was co-signed.
        line: the line as bytes, or as `parse_note` gives it.
        name: the witness's key name: its member id.
        public: its Ed25519 public key, 32 bytes.

    Returns:
        The time in the line, seconds since 1970-01-01T00:00:00Z.

    Raises:
        ChainInvalid: `cosignature`.
    """
    if isinstance(line, bytes):
        parsed = parse_note(assemble(text, [line]))
        if parsed.text != text or len(parsed.lines) != 1:
            raise _cosignature(name)
        line = parsed.lines[0]
    if (line.name, line.key) != (name, key_id(name, COSIGNATURE, public)):
        raise _cosignature(name)
    time_s = int.from_bytes(line.signature[:8], "big")
    if len(line.signature) != 8 + 64 or time_s >= 1 << 63:
        raise _cosignature(name)
    if not verify_witness(public, cosignature_message(text, time_s), line.signature[8:]):
        raise _cosignature(name)
    return time_s


def cosigners(data: bytes, witnesses: Mapping[MemberId, bytes]) -> frozenset[MemberId]:
    """Return the members whose co-signature stands on a checkpoint and verifies.

    Args:
        data: the signed note.
        witnesses: Ed25519 public keys (32 bytes) of the members that count, by id.
    """
    note = parse_note(data)
    _parse_text(note.text)
    found = set()
    for line in note.lines:
        member = MemberId(line.name)
        if member in witnesses and member not in found:
            try:
                verify_cosignature(note.text, line, name=member, public=witnesses[member])
            except ChainInvalid:
                # A line of another type or key counts for nothing, and spoils nothing.
                continue
            found.add(member)
    return frozenset(found)


def has_quorum(data: bytes, witnesses: Mapping[MemberId, bytes], *, quorum: int) -> bool:
    """Say whether enough members co-signed a checkpoint to make it final.

    Args:
        data: the signed note; verify the hub's signature before.
        witnesses: public keys of the members that count, by id.
        quorum: how many are needed; less than 1 is never enough.
    """
    return quorum >= 1 and len(cosigners(data, witnesses)) >= quorum


def _malformed(detail: str) -> ChainInvalid:
    return ChainInvalid("checkpoint.malformed", where="checkpoint", detail=detail)


def _cosignature(name: str) -> ChainInvalid:
    return ChainInvalid("cosignature", where="checkpoint", detail=name)
