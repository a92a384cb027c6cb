"""The founding document: what all founders agree on and sign; its digest names the chain.

The digest is shown as words to compare by telephone: proquints (D. Wilkerson, A Proposal for
Proquints: Identifiers that are Readable, Spellable, and Pronounceable, arXiv:0901.4016), the first
128 bits as eight words of five letters.

This module does NOT verify the founders' signatures: `chain.py` does, in block 0.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

from concura.canonical import b64decode, b64encode, decode, encode
from concura.errors import ChainInvalid, DataFileInvalid, EntryRefused
from concura.ledger.card import MemberCard
from concura.ledger.contract import is_member_id, is_name, quorum_of
from concura.limits import DIFFICULTY_MAX_BITS, INTEGER_MAX, INVITATION_MAX_BYTES, MEMBERS_MAX
from concura.sealing.suite import AES, SUITES, Suite
from concura.types import Digest, JsonObject, MemberId, TimeMs

__all__ = ["Genesis", "founder", "founding_message", "quorum_of", "words"]

VERSION = 1
_MEMBERS = frozenset(
    {
        "v",
        "name",
        "created_ms",
        "difficulty_bits",
        "quorum",
        "hub",
        "founders",
    }
)
_HUB = frozenset({"name", "witness", "authority"})
_CONSONANTS = "bdfghjklmnprstvz"
_VOWELS = "aiou"
_AUTHORITY_MAX_BYTES = 8_192


@dataclass(frozen=True, slots=True)
class Genesis:
    """What a consortium is founded on.

    Attributes:
        name: the consortium's name.
        created_ms: when it was written.
        difficulty_bits: leading zero bits that a block's hash needs; fixed for this chain.
        quorum: how many co-signatures make a head final.
        hub_name: the hub's key name in notes; formed like a member id.
        hub_witness: the hub's Ed25519 public key, 32 bytes: blocks, receipts, checkpoints.
        hub_authority: the hub's own CA certificate, DER.
        founders: the founding members' cards; kept in order of their ids.
        suite: the algorithms of records, rows, streams and signatures. It stands in the document
            only where it is not the default, so that there is one way of writing each.
    """

    name: str
    created_ms: TimeMs
    difficulty_bits: int
    quorum: int
    hub_name: str
    hub_witness: bytes
    hub_authority: bytes
    founders: tuple[MemberCard, ...]
    suite: Suite = AES

    def __post_init__(self) -> None:
        ordered = tuple(sorted(self.founders, key=lambda card: card.member))
        object.__setattr__(self, "founders", ordered)

    def encode(self) -> bytes:
        """Return the canonical bytes that the chain is named after.

        Raises:
            ChainInvalid: `genesis`; the values do not make a founding document.
        """
        _check(self)
        return encode(self._to_json())

    @classmethod
    def decode(cls, data: bytes) -> "Genesis":
        """Read a founding document, strictly.

        Raises:
            ChainInvalid: `genesis`; with the member that is wrong.
        """
        if len(data) > INVITATION_MAX_BYTES:
            raise _wrong("size")
        try:
            genesis = _from_json(decode(data))
        except (DataFileInvalid, EntryRefused, ValueError) as error:
            raise _wrong("JSON") from error
        _check(genesis)
        # The founders in another order, or a suite written out that goes without saying.
        if genesis.encode() != data:
            raise _wrong("founders")
        return genesis

    @property
    def chain(self) -> Digest:
        """SHA-256 of the canonical bytes, hex: the name of the chain."""
        return Digest(hashlib.sha256(self.encode()).hexdigest())

    def _to_json(self) -> JsonObject:
        special = {} if self.suite == AES else {"suite": self.suite.name}
        return {
            **special,
            "v": VERSION,
            "name": self.name,
            "created_ms": self.created_ms,
            "difficulty_bits": self.difficulty_bits,
            "quorum": self.quorum,
            "hub": {
                "name": self.hub_name,
                "witness": b64encode(self.hub_witness),
                "authority": b64encode(self.hub_authority),
            },
            "founders": [card.to_json() for card in self.founders],
        }


def _from_json(value: Any) -> Genesis:
    if not isinstance(value, dict) or value.keys() - {"suite"} != _MEMBERS:
        raise _wrong("members")
    if value["v"] != VERSION:
        raise _wrong("members")
    suite = value.get("suite", AES.name)
    if not isinstance(suite, str) or suite not in SUITES:
        raise _wrong("suite")
    hub, founders = value["hub"], value["founders"]
    if not isinstance(hub, dict) or hub.keys() != _HUB or not isinstance(founders, list):
        raise _wrong("hub")
    return Genesis(
        name=value["name"],
        created_ms=value["created_ms"],
        difficulty_bits=value["difficulty_bits"],
        quorum=value["quorum"],
        hub_name=hub["name"],
        hub_witness=b64decode(hub["witness"]),
        hub_authority=b64decode(hub["authority"]),
        founders=tuple(MemberCard.from_json(one) for one in founders),
        suite=SUITES[suite],
    )


def _check(genesis: Genesis) -> None:
    """Refuse values out of range, in the order in which a person would read them."""
    founders = len(genesis.founders)
    for name, holds in (
        ("name", is_name(genesis.name)),
        ("created_ms", _is_whole(genesis.created_ms, 0, INTEGER_MAX)),
        ("difficulty_bits", _is_whole(genesis.difficulty_bits, 0, DIFFICULTY_MAX_BITS)),
        ("hub name", is_member_id(genesis.hub_name)),
        ("hub witness", len(genesis.hub_witness) == 32),
        ("hub authority", 0 < len(genesis.hub_authority) <= _AUTHORITY_MAX_BYTES),
        ("founders", 1 <= founders <= MEMBERS_MAX),
        ("founders", len({card.member for card in genesis.founders}) == founders),
        ("quorum", _is_whole(genesis.quorum, 1, founders)),
    ):
        if not holds:
            raise _wrong(name)


def _is_whole(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _wrong(name: str) -> ChainInvalid:
    return ChainInvalid("genesis", where="genesis", detail=name)


def words(digest: Digest) -> str:
    """Write the first 128 bits of a digest as eight pronounceable words.

    Args:
        digest: SHA-256, hex.

    Returns:
        Eight words of five letters, with spaces between.

    Example:
        >>> words(Digest("7f000001" + "0" * 56))[:11]
        'lusab babad'
    """
    data = bytes.fromhex(digest)[:16]
    return " ".join(
        _word(int.from_bytes(data[start : start + 2], "big")) for start in range(0, 16, 2)
    )


def _word(value: int) -> str:
    return (
        _CONSONANTS[value >> 12]
        + _VOWELS[value >> 10 & 3]
        + _CONSONANTS[value >> 6 & 15]
        + _VOWELS[value >> 4 & 3]
        + _CONSONANTS[value & 15]
    )


def founding_message(chain: Digest) -> bytes:
    """Return what each founder signs with its signing key."""
    # The label keeps this signature from ever passing as one over an entry or an envelope.
    return b"concura founding v1\n" + bytes.fromhex(chain)


def founder(genesis: Genesis, member: MemberId) -> MemberCard | None:
    """Return a founder's card, or None."""
    return next((card for card in genesis.founders if card.member == member), None)
