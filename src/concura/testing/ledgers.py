"""A consortium in memory for tests: parties with real keys, a hub that seals, one verified chain.

Keys are drawn once per process and name; times and nonces count up, so that a test reads the same
in every run except for the keys and the salted signatures.

This module does NOT store or send anything.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from concura.ledger import (
    Block,
    Chain,
    Entry,
    Genesis,
    MemberCard,
    assemble,
    cosignature_line,
    cosignature_message,
    founding_message,
    genesis_entries,
    message,
    quorum_of,
    sealing_message,
    search,
    sign_entry,
    sign_line,
)
from concura.sealing.keys import PSS, fingerprint
from concura.types import Digest, Fingerprint, JsonObject, MemberId, TimeMs

__all__ = ["START_MS", "Consortium", "Party", "party"]

START_MS = TimeMs(1_800_000_000_000)  # 2027-01-15T08:00:00Z
_NAMES = ("hospital-a", "hospital-b", "hospital-c", "hospital-d", "hospital-e", "hospital-f")


@dataclass(frozen=True)
class Party:
    """One member with its private keys.

    Example:
        >>> party("hospital-a").card.member
        'hospital-a'
    """

    member: MemberId
    sign_key: rsa.RSAPrivateKey
    wrap_key: rsa.RSAPrivateKey
    witness_key: Ed25519PrivateKey

    @property
    def card(self) -> MemberCard:
        """The member's card; its certificate is no real one."""
        return MemberCard(
            member=self.member,
            name=self.member.replace("-", " ").title(),
            sign=_der(self.sign_key),
            wrap=_der(self.wrap_key),
            witness=self.witness_key.public_key().public_bytes_raw(),
            tls=fingerprint(f"tls of {self.member}".encode()),
            authority=f"certificate of {self.member}".encode().ljust(64),
        )

    def sign(self, data: bytes) -> bytes:
        """Sign with the signing key (RSA-PSS)."""
        return self.sign_key.sign(data, PSS, hashes.SHA256())

    def witness(self, data: bytes) -> bytes:
        """Sign with the witness key (Ed25519)."""
        return self.witness_key.sign(data)


def _der(key: rsa.RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@lru_cache(maxsize=64)
def party(name: str) -> Party:
    """Return the party of a name, with keys drawn at the first call."""
    return Party(
        MemberId(name),
        rsa.generate_private_key(65_537, 3072),
        rsa.generate_private_key(65_537, 3072),
        Ed25519PrivateKey.generate(),
    )


@dataclass
class Consortium:
    """A founded consortium with its chain, as the hub would run it.

    Attributes:
        chain: after block 0.
        blocks: all sealed blocks, encoded.
        parties: the founders by id.
        hub: the hub's Ed25519 key.
        now_ms: the time of the next entry and block; counts up.
    """

    chain: Chain
    parties: dict[MemberId, Party]
    hub: Ed25519PrivateKey
    blocks: list[bytes] = field(default_factory=list)
    now_ms: TimeMs = START_MS
    _nonce: int = 0

    @classmethod
    def found(cls, count: int = 4, *, difficulty_bits: int = 2) -> "Consortium":
        """Found a consortium of `count` hospitals (1 to 6) and seal block 0."""
        parties = {MemberId(name): party(name) for name in _NAMES[:count]}
        hub = Ed25519PrivateKey.generate()
        genesis = Genesis(
            name="Test consortium",
            created_ms=START_MS,
            difficulty_bits=difficulty_bits,
            quorum=quorum_of(count),
            hub_name="hub",
            hub_witness=hub.public_key().public_bytes_raw(),
            hub_authority=b"certificate of the hub".ljust(64),
            founders=tuple(one.card for one in parties.values()),
        )
        consortium = cls(Chain(genesis), parties, hub)
        statement = founding_message(genesis.chain)
        signatures = {member: one.sign(statement) for member, one in parties.items()}
        consortium.seal(genesis_entries(genesis, signatures))
        return consortium

    def say(
        self,
        member: str,
        entry_type: str,
        body: JsonObject,
        *,
        time_ms: int | None = None,
        signer: Party | None = None,
        chain: Digest | None = None,
    ) -> bytes:
        """Return an entry signed by a member, or by `signer` in its name."""
        self._nonce += 1
        entry = Entry(
            chain=self.chain.id if chain is None else chain,
            type=entry_type,
            author=MemberId(member),
            time_ms=self.now_ms if time_ms is None else TimeMs(time_ms),
            nonce=f"{self._nonce:032x}",
            body=body,
        )
        who = party(member) if signer is None else signer
        return sign_entry(entry, self._key(who), who.sign(message(entry)))

    def _key(self, who: Party) -> Fingerprint:
        return fingerprint(_der(who.sign_key))

    def make(self, entries: Iterable[bytes], *, timestamp_ms: int | None = None) -> Block:
        """Mine and sign the next block without taking it in."""
        listed = tuple(entries)
        time_ms = self.now_ms if timestamp_ms is None else TimeMs(timestamp_ms)
        header = self.chain.propose(listed, timestamp_ms=time_ms)
        nonce = search(header.pack(), header.difficulty, start=0, count=1 << 32)
        assert nonce is not None
        header = replace(header, nonce=nonce)
        return Block(header, self.hub.sign(sealing_message(header)), listed)

    def seal(self, entries: Iterable[bytes]) -> Block:
        """Mine, sign, verify and take in the next block; then let a second pass."""
        block = self.make(entries)
        self.chain.append(block, now_ms=self.now_ms)
        self.blocks.append(block.encode())
        self.now_ms = TimeMs(self.now_ms + 1_000)
        return block

    def checkpoint(self, witnesses: Iterable[str] = (), *, size: int | None = None) -> bytes:
        """Return the hub's checkpoint, co-signed by the named members."""
        text = self.chain.checkpoint_body(size)
        genesis = self.chain.genesis
        lines = [sign_line(genesis.hub_name, genesis.hub_witness, self.hub.sign(text))]
        time_s = self.now_ms // 1_000
        for name in witnesses:
            who = party(name)
            signature = who.witness(cosignature_message(text, time_s))
            public = who.card.witness
            lines.append(cosignature_line(name, public, time_s=time_s, signature=signature))
        return assemble(text, lines)
