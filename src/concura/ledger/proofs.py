"""Bundles: one entry with all that is needed to verify it offline, as one JSON of at most 10 kB.

entry -> root of its block -> mined and signed header -> root of the log -> checkpoint signed by the
hub and co-signed by the members. Without `Trust` a bundle only fits itself: its origin stays
unproved.

This module does NOT replay the chain: that an accepted entry obeyed the contract is what the
co-signing members checked.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from concura.canonical import b64decode, b64encode, decode, encode
from concura.errors import ChainInvalid, DataFileInvalid, EntryRefused
from concura.ledger.block import HEADER_BYTES, Block, Header
from concura.ledger.card import MemberCard
from concura.ledger.checkpoint import Checkpoint, cosigners, origin_of, verify_checkpoint
from concura.ledger.contract.shape import base64url, has_shape, hexadecimal, whole
from concura.ledger.entry import SignedEntry, decode_entry
from concura.ledger.genesis import Genesis
from concura.ledger.merkle import inclusion_proof, leaf_hash, verify_inclusion
from concura.ledger.work import is_enough
from concura.sealing.keys import fingerprint
from concura.sealing.suite import AES, Suite
from concura.types import Digest, MemberId

__all__ = ["BUNDLE_MAX_BYTES", "Proven", "Trust", "entry_bundle", "verify_bundle"]

VERSION = 1
BUNDLE_MAX_BYTES = 10_000  # PROTOCOLS §5; entries that need a proof are small
_PATH_MAX = 64


@dataclass(frozen=True, slots=True)
class Trust:
    """What a verifier was told by people, not by the bundle.

    Attributes:
        chain: the genesis digest.
        hub_name: the hub's key name.
        hub_witness: the hub's Ed25519 public key, 32 bytes.
        difficulty_bits: of the chain.
        quorum: how many co-signatures make a head final.
        members: cards by id.
        suite: the consortium's.
    """

    chain: Digest
    hub_name: str
    hub_witness: bytes
    difficulty_bits: int
    quorum: int
    members: Mapping[MemberId, MemberCard]
    suite: Suite = AES

    @classmethod
    def of(
        cls,
        genesis: Genesis,
        *,
        members: Mapping[MemberId, MemberCard] | None = None,
        quorum: int | None = None,
    ) -> "Trust":
        """Return the trust that a founding document gives.

        Args:
            genesis: whose digest the verifier compared with the founders.
            members: the members known to a verified ledger, where others than the founders count.
            quorum: of those members; by default the founding one.
        """
        founders = {card.member: card for card in genesis.founders}
        return cls(
            chain=genesis.chain,
            hub_name=genesis.hub_name,
            hub_witness=genesis.hub_witness,
            difficulty_bits=genesis.difficulty_bits,
            quorum=genesis.quorum if quorum is None else quorum,
            members=founders if members is None else members,
            suite=genesis.suite,
        )


@dataclass(frozen=True, slots=True)
class Proven:
    """What a bundle proves.

    Attributes:
        entry: the signed entry.
        header: header of its block.
        checkpoint: the head of the log that it stands under.
        cosigners: the members that co-signed this head.
        is_final: whether they are a quorum.
    """

    entry: SignedEntry
    header: Header
    checkpoint: Checkpoint
    cosigners: frozenset[MemberId]
    is_final: bool


def entry_bundle(
    block: Block, index: int, *, size: int, log_path: list[bytes], checkpoint: bytes
) -> bytes:
    """Join what proves one entry.

    Args:
        block: the block that holds it.
        index: its place in the block, counted from 0.
        size: number of leaves of the log under the checkpoint.
        log_path: `Chain.inclusion(height, size)`.
        checkpoint: signed note over the log of that size, with co-signatures.

    Returns:
        Canonical JSON.

    Raises:
        ChainInvalid: `bundle`; it would be larger than 10 kB, or the checkpoint is no text.
    """
    path = inclusion_proof([leaf_hash(entry) for entry in block.entries], index)
    try:
        data = encode(
            {
                "v": VERSION,
                "chain": block.header.chain,
                "entry": b64encode(block.entries[index]),
                "index": index,
                "path": [node.hex() for node in path],
                "header": b64encode(block.header.pack()),
                "signature": b64encode(block.signature),
                "size": size,
                "log_path": [node.hex() for node in log_path],
                "checkpoint": checkpoint.decode("utf-8"),
            }
        )
    except ValueError as error:
        raise _wrong("checkpoint") from error
    if len(data) > BUNDLE_MAX_BYTES:
        raise _wrong("size")
    return data


def _is_path(value: Any) -> bool:
    node = hexadecimal(32)
    return isinstance(value, list) and len(value) <= _PATH_MAX and all(node(one) for one in value)


_SHAPE = {
    "v": whole(VERSION, VERSION),
    "chain": hexadecimal(32),
    "entry": base64url(1, BUNDLE_MAX_BYTES),
    "index": whole(0),
    "path": _is_path,
    "header": base64url(HEADER_BYTES, HEADER_BYTES),
    "signature": base64url(64, 64),
    "size": whole(1),
    "log_path": _is_path,
    "checkpoint": lambda value: isinstance(value, str),
}


def verify_bundle(data: bytes, *, trust: Trust) -> Proven:
    """Verify a bundle offline, in numbered steps.

    Args:
        data: what `entry_bundle` returned.
        trust: what the verifier knows from people.

    Returns:
        What it proves. Whether a quorum co-signed is told, not demanded.

    Raises:
        ChainInvalid: `bundle`, with the step that failed, or a `checkpoint` error.
    """
    value = _parse(data, trust.chain)
    # (1) the entry is signed by the member that it names
    try:
        signed = decode_entry(b64decode(value["entry"]))
    except EntryRefused as error:
        raise _wrong("entry") from error
    card = trust.members.get(signed.entry.author)
    if card is None or signed.key != fingerprint(card.sign) or signed.entry.chain != trust.chain:
        raise _wrong("author")
    if not signed.is_signed_by(card.sign, suite=trust.suite):
        raise _wrong("entry signature")
    # (2) it stands in the block
    block = Block(Header.unpack(b64decode(value["header"])), b64decode(value["signature"]), ())
    _check_block(block, value, trust)
    # (3) the block stands in the log whose head the hub signed
    checkpoint = _check_log(block, value, trust)
    # (4) and so many members co-signed that head
    witnesses = {member: one.witness for member, one in trust.members.items()}
    found = cosigners(value["checkpoint"].encode(), witnesses)
    is_final = 0 < trust.quorum <= len(found)
    return Proven(signed, block.header, checkpoint, found, is_final)


def _parse(data: bytes, chain: Digest) -> Any:
    if len(data) > BUNDLE_MAX_BYTES:
        raise _wrong("size")
    try:
        value = decode(data)
    except DataFileInvalid as error:
        raise _wrong("JSON") from error
    if not has_shape(value, _SHAPE):
        raise _wrong("members")
    if value["chain"] != chain:
        raise _wrong("chain")
    return value


def _check_block(block: Block, value: Any, trust: Trust) -> None:
    header = block.header
    entry = leaf_hash(b64decode(value["entry"]))
    path = [bytes.fromhex(node) for node in value["path"]]
    if not verify_inclusion(
        entry, value["index"], size=header.count, proof=path, root_hash=bytes.fromhex(header.root)
    ):
        raise _wrong("path")
    if header.chain != trust.chain or header.difficulty != trust.difficulty_bits:
        raise _wrong("header")
    if not is_enough(header.pack(), trust.difficulty_bits):
        raise _wrong("work")
    if not block.is_signed_by(trust.hub_witness):
        raise _wrong("block signature")


def _check_log(block: Block, value: Any, trust: Trust) -> Checkpoint:
    checkpoint = verify_checkpoint(
        value["checkpoint"].encode(),
        name=trust.hub_name,
        public=trust.hub_witness,
        origin=origin_of(trust.chain),
    )
    path = [bytes.fromhex(node) for node in value["log_path"]]
    # The height of a block is its place in the log.
    if checkpoint.size != value["size"] or not verify_inclusion(
        block.leaf_hash,
        block.header.height,
        size=checkpoint.size,
        proof=path,
        root_hash=checkpoint.root,
    ):
        raise _wrong("log path")
    return checkpoint


def _wrong(detail: str) -> ChainInvalid:
    return ChainInvalid("bundle", where="bundle", detail=detail)
