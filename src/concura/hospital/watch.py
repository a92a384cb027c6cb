"""Watching the hub: follow the ledger, check all of it, co-sign its head, keep evidence.

The node believes what it verified: every block passes the numbered checks of `ledger.chain` before
it is stored. A hub that breaks a promise it signed is not believed again: what it signed is kept
as evidence. A hub that is only silent is `stale since`, never called a fraud.

It does NOT write to the ledger.
"""

import hashlib
import logging

from concura.canonical import b64encode, encode
from concura.errors import ChainInvalid, ConcuraError, HubDishonest, NetworkError, NotMember
from concura.ledger import (
    Block,
    Chain,
    Checkpoint,
    Genesis,
    Receipt,
    cosignature_line,
    cosignature_message,
    decode_block,
    decode_receipt,
    fork_evidence,
    has_quorum,
    members,
    parse_note,
    quorum,
    verify_checkpoint,
)
from concura.ports import Bell, NodePorts
from concura.types import EntryId, Height, MemberId, TimeMs

__all__ = ["Watch"]

_log = logging.getLogger(__name__)

FINAL = "checkpoint/final"
# Checkpoints that others carried here, over more blocks than this node has: compared once it has.
_HEARD = "heard/"
_HEARD_MAX = 64
# What a signed header says by itself. Entries that do not fit it are signed by nobody, and whether
# a time lies ahead depends on this node's own clock: neither proves anything to others.
_SIGNED_FAULTS = frozenset({"previous", "work", "sealer", "founding", "entry"})
_RETRY_S = 0.5
_FINAL_POLL_S = 0.02


class Watch:
    """A node's own verified copy of the ledger.

    Args:
        me: this member.
        genesis: the constitution that this node joined by.
        ports: the world; of it hub, store, witness key and clock.
        wait_s: seconds that one long poll may last.
    """

    def __init__(
        self,
        me: MemberId,
        genesis: Genesis,
        ports: NodePorts,
        *,
        wait_s: float = 25.0,
    ) -> None:
        self.chain = Chain(genesis)
        self.bell = Bell(ports.clock)
        self.final_height = Height(-1)
        self.stale_since: TimeMs | None = None
        self.distrust: str | None = None
        self._me = me
        self._hub = ports.hub
        self._store = ports.store
        self._keys = ports.keys
        self._clock = ports.clock
        self._wait_s = wait_s
        self._verified = b""
        self._is_behind = False

    def load(self) -> None:
        """Read the stored replica back, and check it again.

        Raises:
            ChainInvalid: the replica was changed on disk.
        """
        while blocks := self._store.blocks(Height(self.chain.height + 1), 100):
            for data in blocks:
                self.chain.append(decode_block(data), now_ms=None)
        note = self._store.fact(FINAL)
        if note is not None:
            self.final_height = Height(self._checkpoint(note).size - 1)
        found = self._store.fact("distrust")
        self.distrust = None if found is None else found.decode()

    async def run(self) -> None:
        """Follow for ever; a network fault only makes the view stale."""
        pause_s = _FINAL_POLL_S
        while True:
            # Others' co-signatures make no block: until the head is final, look again soon, then
            # less and less often.
            is_final = self.final_height == self.chain.height
            pause_s = _FINAL_POLL_S if is_final else min(2 * pause_s, self._wait_s)
            try:
                await self.step(self._wait_s if is_final else pause_s)
                self._note(is_fresh=not self._is_behind)
            except (NetworkError, NotMember) as error:
                if self.stale_since is None:
                    _log.warning("hub silent error=%s", error.slug)
                self._note(is_fresh=False)
                await self._clock.sleep(_RETRY_S)
            except ConcuraError as error:
                # What is refused brings this node no further than silence does.
                self._note(is_fresh=False)
                _log.error("hub refused error=%s why=%s", error.slug, error.why)
                await self._clock.sleep(_RETRY_S * 4)

    def _note(self, *, is_fresh: bool) -> None:
        if is_fresh:
            self.stale_since = None
        elif self.stale_since is None:
            self.stale_since = self._clock.now_ms()

    async def step(self, wait_s: float = 0.0) -> None:
        """Take and check what is new, then co-sign the head.

        Raises:
            HubDishonest: the hub signed something that it must not; evidence is kept.
            HubUnreachable: it does not answer.
        """
        blocks = await self._hub.blocks(Height(self.chain.height + 1), wait_s=wait_s)
        if self.distrust is not None:
            return
        for data in blocks:
            await self._take(data)
        await self._compare_heard()
        if self.chain.height > self.final_height:
            await self._witness()
        elif not blocks:
            # Nothing new: is the head still the one that was shown before? A hub that has fewer
            # blocks than it showed is late, and may find them again; another head is a fork.
            size = await self.compare(await self._hub.checkpoint())
            self._is_behind = size < self.chain.size
        await self._check_receipts()
        if blocks:
            self.bell.ring()

    async def _take(self, data: bytes) -> None:
        block = decode_block(data)
        await self._look_for_fork(block)
        try:
            self.chain.append(block, now_ms=self._clock.now_ms())
        except ChainInvalid as error:
            if self._is_signed_fault(block, error.why):
                await self.accuse("block", {"block": b64encode(data)}, error.message())
            raise
        await self._store.put_blocks([(block.header.height, data)])

    def _is_signed_fault(self, block: Block, why: str) -> bool:
        """Say whether a refused block proves by the hub's own signature that the hub cheats."""
        head, header = self.chain.head, block.header
        is_back_in_time = head is not None and header.timestamp_ms < head.timestamp_ms
        fault = why in _SIGNED_FAULTS or (why == "timestamp" and is_back_in_time)
        is_next = header.height == self.chain.height + 1
        return fault and is_next and block.is_signed_by(self.chain.genesis.hub_witness)

    async def _look_for_fork(self, block: Block) -> None:
        """Two signed headers at one height are evidence, not a choice."""
        stored = self._store.blocks(block.header.height, 1)
        if stored and block.header.height <= self.chain.height:
            known = decode_block(stored[0])
            found = fork_evidence(known, block, hub_witness=self.chain.genesis.hub_witness)
            if found is not None:
                await self.accuse("fork", {"fork": b64encode(found)}, "two blocks at one height")

    async def _witness(self) -> None:
        """Check the newest checkpoint against the own copy; co-sign it; see whether it is final."""
        note = await self._hub.checkpoint()
        size = await self.compare(note)
        if size != self.chain.height + 1:
            return  # the hub is ahead; the next step brings its blocks first
        self._verified = note
        now_members = members(self.chain.state)
        if self._me in now_members:
            text, time_s = parse_note(note).text, self._clock.now_ms() // 1000
            line = cosignature_line(
                self._me,
                self._keys.public("witness"),
                time_s=time_s,
                signature=self._keys.witness(cosignature_message(text, time_s)),
            )
            await self._hub.cosign(size, line)
            note = await self._hub.checkpoint()
        witnesses = {member: card.witness for member, card in now_members.items()}
        if self._checkpoint(note).size == size and has_quorum(
            note, witnesses, quorum=quorum(self.chain.state)
        ):
            await self._store.put_fact(FINAL, note)
            self.final_height = Height(size - 1)
            self.bell.ring()

    async def compare(self, note: bytes) -> int:
        """Check a checkpoint, from the hub or carried by another member, against the own copy.

        Args:
            note: the signed note.

        Returns:
            The log size that it speaks of.

        Raises:
            HubDishonest: the hub signed another history than the one shown to this node.
            ChainInvalid: the hub did not sign it.
        """
        checkpoint = self._checkpoint(note)
        if checkpoint.size <= self.chain.size and checkpoint.root != self.chain.root(
            checkpoint.size
        ):
            await self.accuse("fork", {"checkpoint": b64encode(note)}, "two histories")
        return checkpoint.size

    async def hear(self, note: bytes) -> None:
        """Compare a checkpoint that another member carried here, now or when the blocks are here.

        This joins split worlds: whoever was shown another history than this node is found out by
        the first message, also when that history is the longer one.

        Raises:
            HubDishonest: the hub signed another history than the one shown to this node.
            ChainInvalid: the hub did not sign it.
        """
        if await self.compare(note) > self.chain.size and len(self._heard()) < _HEARD_MAX:
            digest = hashlib.sha256(parse_note(note).text).hexdigest()
            await self._store.put_fact(f"{_HEARD}{digest}", note)

    def _heard(self) -> dict[str, bytes]:
        return self._store.facts(_HEARD)

    async def _compare_heard(self) -> None:
        for name, note in self._heard().items():
            if await self.compare(note) <= self.chain.size:
                await self._store.delete_fact(name)

    async def _check_receipts(self) -> None:
        """Drop receipts that were honoured; one past its deadline is evidence."""
        for name, data in self._store.facts("receipt/").items():
            receipt = decode_receipt(data)
            if self.chain.find(receipt.entry) is not None:
                await self._store.delete_fact(name)
            elif self._clock.now_ms() > receipt.deadline_ms and self._is_past(receipt):
                await self.accuse("receipt", {"receipt": b64encode(data)}, "a dropped entry")

    def _is_past(self, receipt: Receipt) -> bool:
        """Judge by the chain's own time: a hub that is silent altogether is only stale."""
        head = self.chain.head
        return head is not None and head.timestamp_ms > receipt.deadline_ms

    async def doubt(self, kind: str, evidence: dict[str, str], detail: str) -> None:
        """Keep what the hub showed without signing it: a reason to refuse, but no proof.

        Raises:
            HubDishonest: always.
        """
        raise HubDishonest(detail=detail, evidence=await self._keep(kind, evidence))

    async def accuse(self, kind: str, evidence: dict[str, str], detail: str) -> None:
        """Keep evidence and stop trusting the hub.

        Raises:
            HubDishonest: always.
        """
        name = await self._keep(kind, evidence)
        await self._store.put_fact("distrust", name.encode())
        self.distrust = name
        self.bell.ring()
        raise HubDishonest(detail=detail, evidence=name)

    async def _keep(self, kind: str, evidence: dict[str, str]) -> str:
        name = f"evidence/{kind}-{self._clock.now_ms()}"
        body = {
            "v": 1,
            "kind": kind,
            "chain": self.chain.id,
            "witness": self._me,
            "height": self.chain.height,
            "genesis": b64encode(self.chain.genesis.encode()),
            **evidence,
        }
        await self._store.put_fact(name, encode(body))
        return name

    def newest_checkpoint(self) -> bytes:
        """Return the newest final checkpoint that this node verified, or b""."""
        return self._store.fact(FINAL) or b""

    def carried_checkpoint(self) -> bytes:
        """Return the newest checkpoint that this node verified, final or not, or b"".

        Sealed messages carry it: a hub that shows two histories makes neither of them final.
        """
        return self._verified or self.newest_checkpoint()

    async def until_sealed(self, entry: EntryId, seconds: float) -> bool:
        """Wait until an entry stands in a verified block."""
        return await self.bell.until(lambda: self.chain.find(entry) is not None, seconds)

    async def until_final(self, height: int, seconds: float) -> bool:
        """Wait until the head over a height is final."""
        return await self.bell.until(lambda: self.final_height >= height, seconds)

    def _checkpoint(self, note: bytes) -> Checkpoint:
        genesis = self.chain.genesis
        return verify_checkpoint(
            note, name=genesis.hub_name, public=genesis.hub_witness, origin=self.chain.origin
        )
