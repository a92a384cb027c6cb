"""Erasure of one patient: what is remembered of it, and the receipt that states its two dates.

The *erasure list* holds, for each erased patient, the token and the generation of the key that was
deleted. It is kept in the key table and in the record store, so that whichever of them is put back
from a backup deletes again before it serves. The *receipt* is signed by the hospital's signing key
and holds the same, with the date on which the key was deleted and the date by which the last
backup that may hold it is gone.

This module does NOT delete anything, and does NOT claim copies at other hospitals.
Byte-exact in docs/spec/keys.md.
"""

from dataclasses import dataclass
from typing import Any

from concura.canonical import b64decode, b64encode, decode, encode
from concura.errors import ConcuraError, StoreCorrupt
from concura.limits import (
    ERASURE_RECEIPT_MAX_BYTES,
    INTEGER_MAX,
    KEY_BACKUP_WINDOW_MS,
    REWRAP_WITHIN_MS,
)
from concura.sealing.keys import fingerprint, verify_signature

__all__ = ["Erasure", "Receipt", "read_receipt"]

_VERSION = "concura-erasure-v1"
_TOKEN_BYTES = 32
_MEMBERS = {"complete_ms", "deleted_ms", "generation", "holder", "patient", "rewrap_ms", "v"}


@dataclass(frozen=True, slots=True)
class Erasure:
    """One line of the erasure list.

    Args:
        patient: the patient's token, 32 bytes; it names nobody without the token key.
        generation: of the keys that were deleted; older ones are deleted with them.
        time_ms: when.
    """

    patient: bytes
    generation: int
    time_ms: int

    @property
    def rewrap_ms(self) -> int:
        """When at the latest the epoch key that wrapped the deleted key is destroyed."""
        return self.time_ms + REWRAP_WITHIN_MS

    @property
    def complete_ms(self) -> int:
        """When at the latest the last backup of the key table that may hold the key is gone."""
        return self.time_ms + KEY_BACKUP_WINDOW_MS


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a hospital gives to the patient, and keeps outside its backups.

    Args:
        erasure: what was erased.
        holder: fingerprint of the signing key.
        signature: RSA-PSS over `body()`.
    """

    erasure: Erasure
    holder: str
    signature: bytes = b""

    def body(self) -> bytes:
        """Return the bytes that are signed (RFC 8785)."""
        return encode(self._members())

    def to_bytes(self) -> bytes:
        """Return the receipt as a file: canonical JSON and a line feed.

        Example:
            >>> read_receipt(receipt.to_bytes(), public=store.public("sign")) == receipt.erasure
            True
        """
        return encode({**self._members(), "signature": b64encode(self.signature)}) + b"\n"

    def _members(self) -> dict[str, Any]:
        return {
            "complete_ms": self.erasure.complete_ms,
            "deleted_ms": self.erasure.time_ms,
            "generation": self.erasure.generation,
            "holder": self.holder,
            "patient": self.erasure.patient.hex(),
            "rewrap_ms": self.erasure.rewrap_ms,
            "v": _VERSION,
        }


def read_receipt(data: bytes, *, public: bytes) -> Erasure:
    """Read a receipt that this hospital signed.

    Args:
        data: the file; at most 64 KiB.
        public: the hospital's signing key, SPKI in DER.

    Returns:
        What was erased.

    Raises:
        StoreCorrupt: `receipt`: not in its one form, or not signed by this key.
    """
    try:
        receipt = _parse(data)
        # Written again it must give the same bytes: so nothing can stand in it twice or beside it.
        genuine = receipt.to_bytes() == data and receipt.holder == fingerprint(public)
        genuine = genuine and verify_signature(public, receipt.body(), receipt.signature)
    except (ConcuraError, ValueError, TypeError, KeyError) as error:
        raise StoreCorrupt("receipt") from error
    if not genuine:
        raise StoreCorrupt("receipt")
    return receipt.erasure


def _parse(data: bytes) -> Receipt:
    if len(data) > ERASURE_RECEIPT_MAX_BYTES:
        raise ValueError("size")
    members = decode(data.removesuffix(b"\n"))
    if not isinstance(members, dict) or set(members) != _MEMBERS | {"signature"}:
        raise ValueError("members")
    patient = bytes.fromhex(members["patient"])
    generation, time_ms = members["generation"], members["deleted_ms"]
    if len(patient) != _TOKEN_BYTES:
        raise ValueError("patient")
    for number in (generation, time_ms):
        # The sums with the window must stay exact too.
        if type(number) is not int or not 0 < number <= INTEGER_MAX // 2:
            raise ValueError("number")
    return Receipt(
        Erasure(patient, generation, time_ms), members["holder"], b64decode(members["signature"])
    )
