"""Evidence and replay: two signed headers at one height, and a whole stored chain verified again.

A hub that signs two different blocks at one height shows two histories; the two headers with their
signatures prove it to anybody who knows the hub's key (PROTOCOLS §5).

This module does NOT choose between histories.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from concura.canonical import b64decode, b64encode, decode, encode
from concura.errors import ChainInvalid, DataFileInvalid
from concura.ledger.block import HEADER_BYTES, Block, Header, decode_block
from concura.ledger.chain import Chain
from concura.ledger.genesis import Genesis
from concura.types import Digest, TimeMs

__all__ = ["Report", "fork_evidence", "verify_blocks", "verify_fork"]

_FORK_MAX_BYTES = 2_048


@dataclass(frozen=True, slots=True)
class Report:
    """What a verified chain holds: its height and the number of members' entries."""

    height: int
    entries: int


def fork_evidence(a: Block, b: Block, *, hub_witness: bytes) -> bytes | None:
    """Join two blocks to evidence against the hub, or return None where they are none.

    Args:
        a: a block that the hub signed.
        b: another one.
        hub_witness: the hub's Ed25519 public key, 32 bytes.

    Returns:
        Canonical JSON for `verify_fork`, or None.
    """
    data = encode({"fork": [b64encode(one.leaf) for one in sorted((a, b), key=lambda x: x.leaf)]})
    try:
        verify_fork(data, hub_witness=hub_witness)
    except ChainInvalid:
        return None
    return data


def verify_fork(data: bytes, *, hub_witness: bytes) -> int:
    """Verify evidence of a fork and return the height at which the hub showed two histories.

    Raises:
        ChainInvalid: `fork`; it proves nothing.
    """
    try:
        value: Any = decode(data[: _FORK_MAX_BYTES + 1])
        first, second = (_signed_header(b64decode(one)) for one in value["fork"])
    except (ChainInvalid, DataFileInvalid, ValueError, KeyError, TypeError) as error:
        raise _no_fork("form") from error
    for block in (first, second):
        if not block.is_signed_by(hub_witness):
            raise _no_fork("signature")
    same = (first.header.chain, first.header.height) == (second.header.chain, second.header.height)
    # Two signatures over one header are no second history.
    if not same or first.header == second.header:
        raise _no_fork("height")
    return first.header.height


def _signed_header(leaf: bytes) -> Block:
    return Block(Header.unpack(leaf[:HEADER_BYTES]), leaf[HEADER_BYTES:], ())


def _no_fork(detail: str) -> ChainInvalid:
    return ChainInvalid("fork", where="evidence", detail=detail)


def verify_blocks(
    genesis_digest: Digest, blocks: Iterable[bytes], *, now_ms: TimeMs | None = None
) -> Report:
    """Verify a whole stored chain from its first byte to its last.

    Args:
        genesis_digest: the digest that the founders compared; all else is taken from the blocks.
        blocks: encoded blocks from height 0 on.
        now_ms: the caller's clock, to refuse blocks from the future; None leaves that out.

    Returns:
        The height and the number of entries.

    Raises:
        ChainInvalid: names the first block that does not verify.
    """
    chain: Chain | None = None
    for height, data in enumerate(blocks):
        block = _decode(data, height)
        if chain is None:
            chain = Chain(_genesis(block, genesis_digest))
        # A block whose header claims another height is named by the place where it stands.
        if block.header.height != height:
            raise ChainInvalid("height", where=f"block {height}", detail="height")
        chain.append(block, now_ms=now_ms)
    if chain is None:
        raise ChainInvalid("founding", where="block 0", detail="genesis")
    return Report(chain.height, chain.entries)


def _decode(data: bytes, height: int) -> Block:
    try:
        return decode_block(data)
    except ChainInvalid as error:
        detail = error.values["detail"]
        raise ChainInvalid(error.why, where=f"block {height}", detail=detail) from error


def _genesis(block: Block, digest: Digest) -> Genesis:
    if not block.entries:
        raise ChainInvalid("founding", where="block 0", detail="genesis")
    try:
        genesis = Genesis.decode(block.entries[0])
    except ChainInvalid as error:
        raise ChainInvalid("founding", where="block 0, entry 0", detail="genesis") from error
    if genesis.chain != digest:
        raise ChainInvalid("founding", where="block 0, entry 0", detail="digest")
    return genesis
