"""The chain as each party keeps it: follows blocks, verifies all of them, and proposes the next.

In memory and pure: blocks come in as arguments, times too. Nothing is ever reorganised; another
block at a known height is evidence (`evidence.py`), not a choice.

This module does NOT store, mine, sign or send.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from concura.canonical import b64decode, b64encode, decode, encode
from concura.errors import ChainInvalid, DataFileInvalid, EntryRefused
from concura.ledger.block import NO_BLOCK, Block, Header, entries_root
from concura.ledger.checkpoint import body, origin_of
from concura.ledger.contract import Call, Outcome
from concura.ledger.entry import SignedEntry, decode_entry
from concura.ledger.gate import judge
from concura.ledger.genesis import Genesis, founding_message
from concura.ledger.merkle import CompactRange, consistency_proof, inclusion_proof, root
from concura.ledger.state import State
from concura.ledger.work import is_enough
from concura.limits import CLOCK_SKEW_MAX_MS
from concura.sealing.keys import fingerprint, verify_signature
from concura.types import Digest, EntryId, Fingerprint, Height, MemberId, TimeMs

__all__ = ["Chain", "Place", "genesis_entries"]

VERSION = 1


@dataclass(frozen=True, slots=True)
class Place:
    """Where an entry stands: height of the block, and index in it, both counted from 0."""

    height: Height
    index: int


class Chain:
    """One party's verified view of the consortium's ledger.

    Args:
        genesis: the founding document; compare its digest with the people who founded.

    Attributes:
        genesis: the founding document.
        id: its digest: the name of the chain.
        state: what the contract remembers after the last block. MUST NOT be written from outside.
        head: header of the last block, or None.

    Example:
        >>> Chain(genesis).height  # doctest: +SKIP
        -1
    """

    def __init__(self, genesis: Genesis) -> None:
        self.genesis = genesis
        self.id: Digest = genesis.chain
        self.sealer: Fingerprint = fingerprint(genesis.hub_witness)
        self.state = State()
        self.head: Header | None = None
        self._founding = genesis.encode()
        self._tree = CompactRange()
        self._leaves: list[bytes] = []
        self._places: dict[EntryId, Place] = {}

    @property
    def height(self) -> int:
        """Number of the last block; -1 before the founding one."""
        return len(self._leaves) - 1

    @property
    def size(self) -> int:
        """Number of leaves of the log: one for each block."""
        return len(self._leaves)

    @property
    def entries(self) -> int:
        """Number of members' entries in all blocks; the hub's next journal position to seal."""
        return len(self._places)

    @property
    def head_hash(self) -> Digest:
        """Hash of the last header; zeros before the founding block."""
        return self.head.hash if self.head is not None else NO_BLOCK

    @property
    def origin(self) -> str:
        """Origin line of the chain's checkpoints."""
        return origin_of(self.id)

    def root(self, size: int | None = None) -> bytes:
        """Return the root of the log over its first `size` leaves; all of them by default."""
        if size is None or size == self.size:
            return self._tree.root()
        return root(self._leaves[:size])

    def checkpoint_body(self, size: int | None = None) -> bytes:
        """Return the note text of the checkpoint over the first `size` leaves; all by default."""
        return body(self.origin, self.size if size is None else size, self.root(size))

    def consistency(self, old: int, new: int | None = None) -> list[bytes]:
        """Return the proof that the log of size `old` leads to the one of size `new`."""
        return consistency_proof(self._leaves[: self.size if new is None else new], old)

    def inclusion(self, height: Height, size: int | None = None) -> list[bytes]:
        """Return the proof that block `height` stands in the log of `size` leaves."""
        return inclusion_proof(self._leaves[: self.size if size is None else size], height)

    def find(self, entry: EntryId) -> Place | None:
        """Return where an entry stands, or None."""
        return self._places.get(entry)

    def propose(self, entries: Sequence[bytes], *, timestamp_ms: TimeMs) -> Header:
        """Return the header of the next block, to be mined and signed.

        Args:
            entries: signed entries in order; for block 0 what `genesis_entries` returned.
            timestamp_ms: now; raised where the clock went back behind the chain.

        Returns:
            A header with nonce 0.
        """
        floor = self.genesis.created_ms if self.head is None else self.head.timestamp_ms
        times = [] if self.head is None else [decode_entry(one).entry.time_ms for one in entries]
        # An entry taken in before the clock was set back must not make the block unacceptable.
        newest = max(times, default=CLOCK_SKEW_MAX_MS) - CLOCK_SKEW_MAX_MS
        return Header(
            chain=self.id,
            height=Height(self.height + 1),
            previous=self.head_hash,
            count=len(entries),
            root=entries_root(entries),
            timestamp_ms=TimeMs(max(timestamp_ms, floor, newest)),
            difficulty=self.genesis.difficulty_bits,
            sealer=self.sealer,
        )

    def check_entry(
        self, signed: SignedEntry, *, now_ms: TimeMs, state: State | None = None
    ) -> Outcome:
        """Judge an entry that just came in, as the hub does before it accepts.

        Args:
            signed: the decoded entry.
            now_ms: the shell's clock; the entry's time may differ by CLOCK_SKEW_MAX_MS.
            state: what was accepted so far; by default what stands in blocks. Not changed.

        Returns:
            The outcome, to be written to `state` with nothing in between.

        Raises:
            EntryRefused: with the code of the rule.
        """
        return judge(
            signed,
            chain=self.id,
            state=self.state if state is None else state,
            earliest_ms=TimeMs(now_ms - CLOCK_SKEW_MAX_MS),
            latest_ms=TimeMs(now_ms + CLOCK_SKEW_MAX_MS),
            suite=self.genesis.suite,
        )

    def append(self, block: Block, *, now_ms: TimeMs | None) -> list[Outcome]:
        """Verify the next block in numbered steps and take it in, or leave everything as it was.

        Args:
            block: the decoded block.
            now_ms: this party's clock; None leaves out the look at the future, for stored chains.

        Returns:
            The outcome of each entry, in order.

        Raises:
            ChainInvalid: names the block, the entry where there is one, and what is wrong.
        """
        self._check_header(block.header, now_ms)
        self._check_seal(block)
        below = self.state.overlay()
        if block.header.height == 0:
            outcomes = [self._found(block, below)]
            places: dict[EntryId, Place] = {}
        else:
            outcomes, places = self._run(block, below)
        # Nothing below this line can fail: the block is taken in whole.
        below.settle()
        self._places.update(places)
        self._leaves.append(block.leaf_hash)
        self._tree.append(block.leaf_hash)
        self.head = block.header
        return outcomes

    def _check_header(self, header: Header, now_ms: TimeMs | None) -> None:
        where = f"block {header.height}"
        floor = self.genesis.created_ms if self.head is None else self.head.timestamp_ms
        # (1) it is of this chain and of a layout that we know
        _must(header.chain == self.id and header.version == VERSION, "chain", where)
        # (2) it is the next one
        _must(header.height == self.height + 1, "height", where)
        # (3) it stands on the last one
        _must(header.previous == self.head_hash, "previous", where)
        # (4) time does not fall, nor run ahead
        _must(header.timestamp_ms >= floor, "timestamp", where)
        if now_ms is not None:
            _must(header.timestamp_ms <= now_ms + CLOCK_SKEW_MAX_MS, "timestamp", where)

    def _check_seal(self, block: Block) -> None:
        header = block.header
        where = f"block {header.height}"
        bits = self.genesis.difficulty_bits
        # (5) it holds as many entries as it says
        _must(header.count == len(block.entries), "count", where)
        # (6) and those entries
        _must(header.root == entries_root(block.entries), "root", where)
        # (7) the work was done
        _must(header.difficulty == bits and is_enough(header.pack(), bits), "work", where)
        # (8) the sealer is the hub, and signed
        _must(header.sealer == self.sealer, "sealer", where)
        _must(block.is_signed_by(self.genesis.hub_witness), "signature", where)

    def _run(self, block: Block, state: State) -> tuple[list[Outcome], dict[EntryId, Place]]:
        """(9) Judge every entry against the state that the one before left."""
        outcomes, places = [], {}
        latest = TimeMs(block.header.timestamp_ms + CLOCK_SKEW_MAX_MS)
        for index, data in enumerate(block.entries):
            try:
                signed = decode_entry(data)
                # Sealing may come late, so that only the future is looked at.
                outcome = judge(
                    signed,
                    chain=self.id,
                    state=state,
                    earliest_ms=None,
                    latest_ms=latest,
                    suite=self.genesis.suite,
                )
            except EntryRefused as error:
                where = f"block {block.header.height}, entry {index}"
                raise ChainInvalid("entry", where=where, detail=error.why) from error
            state.write(outcome)
            outcomes.append(outcome)
            places[signed.entry.id] = Place(block.header.height, index)
        return outcomes, places

    def _found(self, block: Block, state: State) -> Outcome:
        """(9) In block 0: the founding document, and a signature of every founder over it."""
        founders = self.genesis.founders
        if not block.entries or block.entries[0] != self._founding:
            raise ChainInvalid("founding", where="block 0, entry 0", detail="genesis")
        if len(block.entries) != len(founders) + 1:
            raise ChainInvalid("founding", where="block 0", detail="founders")
        for index, card in enumerate(founders, start=1):
            member, signature = _founder(block.entries[index], index)
            signed = verify_signature(
                card.sign, founding_message(self.id), signature, suite=self.genesis.suite
            )
            if member != card.member or not signed:
                raise ChainInvalid("founding", where=f"block 0, entry {index}", detail=card.member)
        return self._founded(state)

    def _founded(self, state: State) -> Outcome:
        for card in self.genesis.founders:
            try:
                card.check_keys(suite=self.genesis.suite)
            except EntryRefused as error:
                raise ChainInvalid("founding", where="block 0", detail=card.member) from error
        quorum, members = self.genesis.quorum, [one.to_json() for one in self.genesis.founders]
        call = Call(
            EntryId(self.id),
            "consortium.found",
            MemberId(""),
            self.genesis.created_ms,
            {"quorum": quorum, "members": members},
        )
        outcome = state.apply(call)
        if outcome.refusal is not None:
            raise ChainInvalid("founding", where="block 0", detail=outcome.refusal)
        return outcome


def _must(holds: bool, why: str, where: str) -> None:  # noqa: FBT001 - private
    if not holds:
        raise ChainInvalid(why, where=where, detail=why)


def genesis_entries(genesis: Genesis, signatures: Mapping[MemberId, bytes]) -> tuple[bytes, ...]:
    """Return the entries of block 0: the founding document, then each founder's signature.

    Args:
        genesis: the founding document.
        signatures: RSA-PSS over `founding_message(genesis.chain)`, by member.

    Raises:
        ChainInvalid: `founding`; a founder has not signed.
    """
    for card in genesis.founders:
        if card.member not in signatures:
            raise ChainInvalid("founding", where="block 0", detail=card.member)
    return (
        genesis.encode(),
        *(
            encode({"member": card.member, "signature": b64encode(signatures[card.member])})
            for card in genesis.founders
        ),
    )


def _founder(data: bytes, index: int) -> tuple[str, bytes]:
    try:
        value = decode(data)
        if not isinstance(value, dict) or value.keys() != {"member", "signature"}:
            raise ValueError("members")  # noqa: TRY301 - one place turns all of them into our error
        return str(value["member"]), b64decode(value["signature"])
    except (DataFileInvalid, ValueError) as error:
        where = f"block 0, entry {index}"
        raise ChainInvalid("founding", where=where, detail="signature") from error
