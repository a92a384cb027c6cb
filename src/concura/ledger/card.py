"""A member's card: who it is and its public keys, as it stands on the ledger.

A node seals to, verifies with and agrees masks with a key only if it stands on a card under a head
that the node verified itself (PROTOCOLS §1). Each key has one use.

This module does NOT judge who may become a member: the contract does.
"""

from dataclasses import dataclass

from concura.canonical import b64decode, b64encode
from concura.errors import ConcuraError, EntryRefused
from concura.ledger.contract import CARD, card_digest, has_shape
from concura.sealing.suite import AES, Suite
from concura.types import Digest, Fingerprint, JsonObject, MemberId

__all__ = ["MemberCard"]


@dataclass(frozen=True, slots=True)
class MemberCard:
    """One member's public face.

    Attributes:
        member: its id, such as `hospital-a`.
        name: its name as people read it.
        sign: public key for envelopes and entries, SubjectPublicKeyInfo DER; RSA-3072, or SM2 in a
            consortium of that suite.
        wrap: public key for content keys, of the same kind.
        witness: Ed25519 public key for co-signatures, 32 bytes.
        tls: SHA-256 of the TLS key's SubjectPublicKeyInfo, hex.
        authority: the hospital's own CA certificate, DER.
    """

    member: MemberId
    name: str
    sign: bytes
    wrap: bytes
    witness: bytes
    tls: Fingerprint
    authority: bytes

    def to_json(self) -> JsonObject:
        """Return the card as it stands in entries and in genesis.

        Example:
            >>> sorted(card.to_json())  # doctest: +SKIP
            ['authority', 'member', 'name', 'sign', 'tls', 'witness', 'wrap']
        """
        return {
            "member": self.member,
            "name": self.name,
            "sign": b64encode(self.sign),
            "wrap": b64encode(self.wrap),
            "witness": b64encode(self.witness),
            "tls": self.tls,
            "authority": b64encode(self.authority),
        }

    @classmethod
    def from_json(cls, value: JsonObject) -> "MemberCard":
        """Read a card, strictly: all members, no others, each of its form and length.

        Args:
            value: the parsed JSON.

        Returns:
            The card. Its keys were not looked into: see `check_keys`.

        Raises:
            EntryRefused: `card.malformed`.
        """
        if not has_shape(value, CARD):
            raise EntryRefused("card.malformed", rule="card.malformed", detail="card")
        return cls(
            member=MemberId(value["member"]),
            name=value["name"],
            sign=b64decode(value["sign"]),
            wrap=b64decode(value["wrap"]),
            witness=b64decode(value["witness"]),
            tls=Fingerprint(value["tls"]),
            authority=b64decode(value["authority"]),
        )

    @property
    def digest(self) -> Digest:
        """SHA-256 of the card's canonical JSON, hex: what admitting members vote for."""
        return card_digest(self.to_json())

    def check_keys(self, *, suite: Suite = AES) -> None:
        """Refuse keys of another suite, too short, oddly encoded or used twice.

        Args:
            suite: the consortium's.

        Raises:
            EntryRefused: `card.key`.
        """
        try:
            suite.signing.check(self.sign)
            suite.signing.check(self.wrap)
        except ConcuraError as error:
            raise EntryRefused("card.key", rule="card.key", detail=self.member) from error
        if self.sign == self.wrap:
            raise EntryRefused("card.key", rule="card.key", detail=self.member)
