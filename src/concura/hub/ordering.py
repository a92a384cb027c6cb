"""The order of entries: accept them durably, put them into blocks, publish the head.

*Accepted*: the contract took the entry and the journal is durable; the receipt says so.
*Sealed*: it stands in a mined and signed block. *Final*: the members co-signed the head over it.
Acceptance never waits for work (PROTOCOLS §5).

It does NOT hold a key that anyone trusts for health data: the signer signs receipts, headers and
checkpoints only.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from concura.errors import ConcuraError
from concura.ledger import (
    Block,
    Chain,
    Genesis,
    Receipt,
    SignedEntry,
    State,
    applicants,
    assemble,
    decode_block,
    decode_entry,
    genesis_entries,
    how_many_fit,
    members,
    receipt_message,
    sealing_message,
    sign_line,
)
from concura.limits import ENTRIES_PER_BLOCK_MAX
from concura.ports import Bell, Clock, HubStore, Miner
from concura.types import EntryId, Fingerprint, Height, MemberId, TimeMs

__all__ = ["DEADLINE_MS", "Ordering"]

_log = logging.getLogger(__name__)

# A receipt promises a block by then; a node that holds an older one without a block has evidence.
DEADLINE_MS = 60_000
# Seconds between two tries after the disk was full or the miner died.
_RETRY_S = 1.0

Signer = Callable[[bytes], bytes]


class Ordering:
    """Accepts entries and seals blocks for one chain.

    Args:
        chain: the chain as far as it stands in blocks.
        store: where journal and blocks are kept.
        clock: time.
        miner: work.
        signer: signs with the hub's Ed25519 key.
        interval_ms: least time between two blocks.
    """

    def __init__(
        self,
        chain: Chain,
        *,
        store: HubStore,
        clock: Clock,
        miner: Miner,
        signer: Signer,
        interval_ms: int,
    ) -> None:
        self.chain = chain
        self.bell = Bell(clock)
        self._work = Bell(clock)
        self._store = store
        self._clock = clock
        self._miner = miner
        self._sign = signer
        self._interval_ms = interval_ms
        self._sealed = 0  # journal entries that stand in blocks
        self._accepted = 0  # journal entries in all
        self._rollbacks = 0
        self._unsaved: Block | None = None
        self._callers: dict[Fingerprint, tuple[MemberId, bool]] = {}
        self.state: State = chain.state.overlay()

    @classmethod
    async def found(
        cls,
        genesis: Genesis,
        signatures: dict[MemberId, bytes],
        *,
        store: HubStore,
        clock: Clock,
        miner: Miner,
        signer: Signer,
    ) -> None:
        """Mine, sign and store block 0, once all founders have signed."""
        chain = Chain(genesis)
        entries = genesis_entries(genesis, signatures)
        header = chain.propose(entries, timestamp_ms=clock.now_ms())
        header = replace(header, nonce=await miner.mine(header.pack(), header.difficulty))
        block = Block(header, signer(sealing_message(header)), entries)
        chain.append(block, now_ms=clock.now_ms())
        await store.put_block(Height(0), block.encode(), _note(chain, signer))

    @classmethod
    def open(
        cls,
        genesis: Genesis,
        *,
        store: HubStore,
        clock: Clock,
        miner: Miner,
        signer: Signer,
        interval_ms: int,
    ) -> "Ordering":
        """Read blocks and journal back, and check every one of them.

        Raises:
            ChainInvalid: a stored block is not what was sealed.
        """
        chain = Chain(genesis)
        while True:
            blocks = store.blocks(Height(chain.height + 1), 100)
            for data in blocks:
                chain.append(decode_block(data), now_ms=None)
            if not blocks:
                break
        ordering = cls(
            chain, store=store, clock=clock, miner=miner, signer=signer, interval_ms=interval_ms
        )
        ordering._sealed = chain.entries
        ordering._replay()
        return ordering

    def _replay(self) -> None:
        """Bring the accepted state up to the journal's end."""
        self.state = self.chain.state.overlay()
        self._accepted = self._sealed
        while tail := self._store.journal(self._accepted, 1000):
            for data in tail:
                self.state.apply(decode_entry(data).entry.call())
            self._accepted += len(tail)
        self._list_callers()

    def _list_callers(self) -> None:
        """Note whose TLS keys the accepted ledger knows: asked at every request."""
        waiting = {card.tls: (card.member, False) for card in applicants(self.state)}
        inside = {card.tls: (card.member, True) for card in members(self.state).values()}
        self._callers = {**waiting, **inside}

    async def accept(self, entries: Sequence[bytes]) -> list[bytes]:
        """Take signed entries, durably, in the order given.

        An entry that is in the journal already gets its receipt again.

        Args:
            entries: encoded signed entries.

        Returns:
            One encoded receipt each.

        Raises:
            EntryRefused: the shell or the contract says no; entries before it stand.
        """
        return [await self._accept(data) for data in entries]

    async def _accept(self, data: bytes) -> bytes:
        signed = decode_entry(data)
        now = self._clock.now_ms()
        entry_id = signed.entry.id
        position = self._store.position(entry_id)
        if position is None:
            # The contract runs, and the journal takes the entry, without a pause in between:
            # the order of the journal is the order in which the rules were asked.
            outcome = self.chain.check_entry(signed, now_ms=now, state=self.state)
            self.state.write(outcome)
            if signed.entry.type.startswith("member."):
                self._list_callers()
            position = await self._append(signed, data)
        self._work.ring()
        return self._receipt(entry_id, position, now)

    async def _append(self, signed: SignedEntry, data: bytes) -> int:
        self._accepted += 1
        rollbacks = self._rollbacks
        try:
            position = (await self._store.append([(signed.entry.id, data)]))[0]
        except ConcuraError:
            # Nothing was kept, so nothing counts: the state goes back to what the journal holds.
            self._rollbacks += 1
            self._replay()
            raise
        if rollbacks != self._rollbacks:
            # Another's write failed meanwhile and took this entry out of the state with it.
            self._replay()
        return position

    def _receipt(self, entry: EntryId, position: int, now: TimeMs) -> bytes:
        deadline = TimeMs(now + DEADLINE_MS)
        receipt = Receipt(self.chain.id, entry, position, now, deadline, signature=b"")
        return replace(receipt, signature=self._sign(receipt_message(receipt))).encode()

    async def run(self) -> None:
        """Seal blocks for ever."""
        while True:
            if self._accepted == self._sealed:
                await self._work.wait(3600.0)
                continue
            began = self._clock.monotonic_s()
            try:
                await self.seal()
            except ConcuraError as error:
                _log.warning("sealing failed error=%s why=%s", error.slug, error.why)
                await self._clock.sleep(_RETRY_S)
            spent = self._clock.monotonic_s() - began
            await self._clock.sleep(max(0.0, self._interval_ms / 1000 - spent))

    async def seal(self) -> Block | None:
        """Put the journal's next entries into a block; None if there are none."""
        if self._unsaved is not None:
            return await self._save(self._unsaved)
        waiting = self._store.journal(self._sealed, ENTRIES_PER_BLOCK_MAX)
        if not waiting:
            return None
        entries = tuple(waiting[: how_many_fit(len(entry) for entry in waiting)])
        header = self.chain.propose(entries, timestamp_ms=self._clock.now_ms())
        header = replace(header, nonce=await self._miner.mine(header.pack(), header.difficulty))
        block = Block(header, self._sign(sealing_message(header)), entries)
        # Our own block is checked like anyone's: a fault here must not reach the others.
        self.chain.append(block, now_ms=self._clock.now_ms())
        # A signed header is never signed again with other content: if the disk is full now, this
        # very block is stored later.
        self._unsaved = block
        return await self._save(block)

    async def _save(self, block: Block) -> Block:
        note = _note(self.chain, self._sign)
        await self._store.put_block(block.header.height, block.encode(), note)
        self._unsaved = None
        self._sealed += len(block.entries)
        _log.info("block height=%d entries=%d", block.header.height, len(block.entries))
        self.bell.ring()
        return block

    def caller(self, tls: Fingerprint) -> tuple[MemberId, bool] | None:
        """Return the member or applicant whose TLS key this is, and whether it is admitted."""
        return self._callers.get(tls)

    @property
    def stored(self) -> int:
        """Height of the last block that is durable; the chain may be one ahead of the disk."""
        return self.chain.height - (1 if self._unsaved is not None else 0)

    @property
    def status(self) -> dict[str, int | str]:
        """Return counts for /healthz and /metrics."""
        return {
            "height": self.chain.height,
            "entries": self._accepted,
            "waiting": self._accepted - self._sealed,
            "chain": self.chain.id,
        }


def _note(chain: Chain, sign: Signer) -> bytes:
    """Make the signed checkpoint over a chain's head."""
    body, genesis = chain.checkpoint_body(), chain.genesis
    return assemble(body, [sign_line(genesis.hub_name, genesis.hub_witness, sign(body))])
