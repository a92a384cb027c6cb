"""Entries: what a member says to the consortium, canonical (RFC 8785) and signed.

The id is the SHA-256 of the unsigned entry; the signature (RSA-PSS with SHA-256, or that of the
consortium's suite) is over a label and that id, so that it can never pass as a signature over
anything else.

This module does NOT look the author's key up and does NOT know any rule.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Any

from concura.canonical import b64decode, b64encode, decode, encode
from concura.errors import DataFileInvalid, EntryRefused
from concura.ledger.contract import RULES, Call, is_member_id
from concura.ledger.contract.shape import base64url, has_shape, hexadecimal, whole
from concura.limits import ENTRY_MAX_BYTES
from concura.sealing.keys import verify_signature
from concura.sealing.suite import AES, Suite
from concura.types import Digest, EntryId, Fingerprint, JsonObject, MemberId, TimeMs

__all__ = ["Entry", "SignedEntry", "decode_entry", "message", "sign_entry"]

VERSION = 1
_LABEL = b"concura entry v1\n"
_SIGNATURE_MAX_BYTES = 2_048  # RSA-16384

_ENTRY = {
    "v": whole(VERSION, VERSION),
    "chain": hexadecimal(32),
    "type": lambda value: isinstance(value, str) and value in RULES,
    "author": is_member_id,
    "time_ms": whole(0),
    "nonce": hexadecimal(16),
    "body": lambda value: isinstance(value, dict),
}
_SIGNED = {
    "entry": lambda value: has_shape(value, _ENTRY),
    "key": hexadecimal(32),
    "signature": base64url(1, _SIGNATURE_MAX_BYTES),
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One unsigned entry.

    Attributes:
        chain: the chain it is meant for.
        type: the rule, such as `consent.grant`.
        author: the member that says it.
        time_ms: the author's time.
        nonce: 16 fresh bytes, hex: two equal statements stay two entries.
        body: what the rule takes (`contract.BODIES`). MUST NOT be changed.
        id: SHA-256 of the canonical JSON, hex; made from the others.

    Raises:
        EntryRefused: `entry.malformed`; the body has no canonical form.
    """

    chain: Digest
    type: str
    author: MemberId
    time_ms: TimeMs
    nonce: str
    body: JsonObject
    # Made once: it is asked for by the signature, by the contract and by the index of the chain.
    id: EntryId = field(init=False, repr=False)

    def __post_init__(self) -> None:
        try:
            data = encode(self.to_json())
        except ValueError as error:
            raise _refused("entry.malformed") from error
        object.__setattr__(self, "id", EntryId(hashlib.sha256(data).hexdigest()))

    def to_json(self) -> JsonObject:
        """Return the entry as JSON."""
        return {
            "v": VERSION,
            "chain": self.chain,
            "type": self.type,
            "author": self.author,
            "time_ms": self.time_ms,
            "nonce": self.nonce,
            "body": self.body,
        }

    def call(self) -> Call:
        """Return the entry as the contract takes it, once its signature is verified."""
        return Call(self.id, self.type, self.author, self.time_ms, self.body)


@dataclass(frozen=True, slots=True)
class SignedEntry:
    """An entry with the fingerprint of the key that signed it, and the signature."""

    entry: Entry
    key: Fingerprint
    signature: bytes

    def encode(self) -> bytes:
        """Return the canonical bytes that journals and blocks hold."""
        return encode(
            {
                "entry": self.entry.to_json(),
                "key": self.key,
                "signature": b64encode(self.signature),
            }
        )

    def is_signed_by(self, public: bytes, *, suite: Suite = AES) -> bool:
        """Say whether the signature verifies with a public key (DER).

        Args:
            public: SubjectPublicKeyInfo DER of the author's signing key.
            suite: the consortium's.
        """
        return verify_signature(public, message(self.entry), self.signature, suite=suite)


def message(entry: Entry) -> bytes:
    """Return what the author's signing key signs.

    Example:
        >>> message(entry).startswith(b"concura entry v1")  # doctest: +SKIP
        True
    """
    return _LABEL + bytes.fromhex(entry.id)


def sign_entry(entry: Entry, key: Fingerprint, signature: bytes) -> bytes:
    """Join an entry, the signer's fingerprint and a signature over `message(entry)` to bytes.

    Raises:
        EntryRefused: `entry.malformed` or `entry.size`: no ledger would take these bytes.
    """
    data = SignedEntry(entry, key, signature).encode()
    decode_entry(data)
    return data


def decode_entry(data: bytes) -> SignedEntry:
    """Read a signed entry, strictly.

    Args:
        data: canonical JSON of at most ENTRY_MAX_BYTES.

    Returns:
        The entry; its signature was not verified.

    Raises:
        EntryRefused: `entry.size` or `entry.malformed`.
    """
    if len(data) > ENTRY_MAX_BYTES:
        raise _refused("entry.size")
    try:
        value = decode(data)
    except DataFileInvalid as error:
        raise _refused("entry.malformed") from error
    if not has_shape(value, _SIGNED):
        raise _refused("entry.malformed")
    return SignedEntry(_entry(value["entry"]), value["key"], b64decode(value["signature"]))


def _entry(value: dict[str, Any]) -> Entry:
    return Entry(
        chain=value["chain"],
        type=value["type"],
        author=value["author"],
        time_ms=value["time_ms"],
        nonce=value["nonce"],
        body=value["body"],
    )


def _refused(rule: str) -> EntryRefused:
    return EntryRefused(rule, rule=rule, detail="entry")
