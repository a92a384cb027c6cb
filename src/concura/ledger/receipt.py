"""Receipts: the hub's signed word that an entry is durable and will stand in the chain in time.

A receipt whose entry is not in the chain after the deadline is evidence against the hub
(PROTOCOLS §5). Signed with the hub's Ed25519 key over a label and the canonical JSON.

This module does NOT keep receipts and reads no clock.
"""

from dataclasses import dataclass
from typing import Any

from concura.canonical import b64decode, b64encode, decode, encode
from concura.errors import ChainInvalid, DataFileInvalid
from concura.ledger.contract.shape import base64url, has_shape, hexadecimal, whole
from concura.sealing.keys import verify_witness
from concura.types import Digest, EntryId, JsonObject, TimeMs

__all__ = ["Receipt", "decode_receipt", "receipt_message"]

_LABEL = b"concura receipt v1\n"
_MAX_BYTES = 1_024
_SHAPE = {
    "chain": hexadecimal(32),
    "entry": hexadecimal(32),
    "position": whole(0),
    "time_ms": whole(0),
    "deadline_ms": whole(0),
    "signature": base64url(64, 64),
}


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the hub promises about one entry.

    Attributes:
        chain: the chain.
        entry: id of the accepted entry.
        position: its place in the hub's journal, counted from 0.
        time_ms: when it was durable.
        deadline_ms: until when it stands in a block.
        signature: Ed25519 over `receipt_message`.
    """

    chain: Digest
    entry: EntryId
    position: int
    time_ms: TimeMs
    deadline_ms: TimeMs
    signature: bytes

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        return encode({**_unsigned(self), "signature": b64encode(self.signature)})

    def verify(self, hub_witness: bytes, *, chain: Digest, entry: EntryId) -> None:
        """Refuse a receipt for something else, or one that the hub did not sign.

        Raises:
            ChainInvalid: `receipt`.
        """
        if (self.chain, self.entry) != (chain, entry):
            raise _wrong("entry")
        if not verify_witness(hub_witness, receipt_message(self), self.signature):
            raise _wrong("signature")


def _unsigned(receipt: Receipt) -> JsonObject:
    return {
        "chain": receipt.chain,
        "entry": receipt.entry,
        "position": receipt.position,
        "time_ms": receipt.time_ms,
        "deadline_ms": receipt.deadline_ms,
    }


def receipt_message(receipt: Receipt) -> bytes:
    """Return what the hub signs; the receipt's own signature does not count."""
    return _LABEL + encode(_unsigned(receipt))


def decode_receipt(data: bytes) -> Receipt:
    """Read a receipt, strictly; its signature is not verified.

    Raises:
        ChainInvalid: `receipt`.
    """
    if len(data) > _MAX_BYTES:
        raise _wrong("size")
    try:
        value: Any = decode(data)
    except DataFileInvalid as error:
        raise _wrong("JSON") from error
    if not has_shape(value, _SHAPE):
        raise _wrong("members")
    return Receipt(
        chain=value["chain"],
        entry=value["entry"],
        position=value["position"],
        time_ms=value["time_ms"],
        deadline_ms=value["deadline_ms"],
        signature=b64decode(value["signature"]),
    )


def _wrong(detail: str) -> ChainInvalid:
    return ChainInvalid("receipt", where="receipt", detail=detail)
