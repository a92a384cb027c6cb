"""Stores in memory and a miner without a process: the ports' second adapters, for tests.

They keep the promises of the ports except durability: nothing survives the object.

This module does NOT check what it is given, like the real stores.
"""

from collections.abc import Sequence
from dataclasses import replace

from concura.errors import InternalFault
from concura.ledger.work import search
from concura.ports import MailItem
from concura.types import EntryId, Height, MemberId, StudyId

__all__ = ["InlineMiner", "MemoryHubStore", "MemoryNodeStore"]


class _Facts:
    """Named values, as both stores keep them."""

    def __init__(self) -> None:
        self._facts: dict[str, bytes] = {}

    async def put_fact(self, name: str, value: bytes) -> None:
        """Keep a named value."""
        self._facts[name] = value

    def fact(self, name: str) -> bytes | None:
        """Return a named value, or None."""
        return self._facts.get(name)

    def facts(self, prefix: str) -> dict[str, bytes]:
        """Return all named values whose name starts with `prefix`, ordered by name."""
        return {name: self._facts[name] for name in sorted(self._facts) if name.startswith(prefix)}

    def close(self) -> None:
        """Do nothing; the real stores close their file."""


class MemoryHubStore(_Facts):
    """Implements `ports.HubStore` in memory."""

    def __init__(self) -> None:
        super().__init__()
        self._journal: list[bytes] = []
        self._positions: dict[EntryId, int] = {}
        self._blocks: list[bytes] = []
        self._checkpoint = b""
        self._cosignatures: dict[int, dict[MemberId, bytes]] = {}
        self._mail: dict[int, MailItem] = {}
        self._last_mail = 0
        self._contributions: dict[tuple[StudyId, str], dict[MemberId, bytes]] = {}

    async def append(self, entries: Sequence[tuple[EntryId, bytes]]) -> list[int]:
        """Put signed entries into the journal; one that is there keeps its position."""
        for entry, data in entries:
            if entry not in self._positions:
                self._positions[entry] = len(self._journal)
                self._journal.append(data)
        return [self._positions[entry] for entry, _ in entries]

    def journal(self, start: int, limit: int) -> list[bytes]:
        """Return up to `limit` signed entries from position `start`."""
        return self._journal[start : start + limit]

    def position(self, entry: EntryId) -> int | None:
        """Return where an entry stands in the journal, or None."""
        return self._positions.get(entry)

    async def put_block(self, height: Height, block: bytes, checkpoint: bytes) -> None:
        """Store a block; another one at the same height is never put in its place."""
        if height < len(self._blocks) and self._blocks[height] == block:
            return
        if height != len(self._blocks):
            raise InternalFault(detail=f"block {height} exists")
        self._blocks.append(block)
        self._checkpoint = checkpoint

    def blocks(self, start: Height, limit: int) -> list[bytes]:
        """Return up to `limit` blocks from height `start`."""
        return self._blocks[start : start + limit]

    def checkpoint(self) -> bytes:
        """Return the newest checkpoint, or b"" before genesis."""
        return self._checkpoint

    async def put_cosignature(self, size: int, member: MemberId, line: bytes) -> None:
        """Keep a witness's signature line; a newer one replaces it."""
        self._cosignatures.setdefault(size, {})[member] = line

    def cosignatures(self, size: int) -> dict[MemberId, bytes]:
        """Return the signature lines over the checkpoint of log size `size`."""
        return dict(sorted(self._cosignatures.get(size, {}).items()))

    async def put_mail(self, item: MailItem) -> int:
        """Put a sealed object into a mailbox; the same parties, kind and transfer give one item."""
        for known in self._mail.values():
            if replace(known, number=0, data=b"") == replace(item, number=0, data=b""):
                return known.number
        self._last_mail += 1
        self._mail[self._last_mail] = replace(item, number=self._last_mail)
        return self._last_mail

    def mail(self, recipient: MemberId, after: int) -> list[MailItem]:
        """Return the items for `recipient` with a number greater than `after`."""
        return [
            item
            for item in self._mail.values()
            if item.recipient == recipient and item.number > after
        ]

    async def delete_mail(self, number: int) -> None:
        """Remove an item that was delivered."""
        self._mail.pop(number, None)

    async def put_contribution(
        self, study: StudyId, step: str, member: MemberId, data: bytes
    ) -> None:
        """Keep a contribution; the first one for a step stays."""
        self._contributions.setdefault((study, step), {}).setdefault(member, data)

    def count_contributions(self, study: StudyId, step: str) -> int:
        """Return how many have come in for one step."""
        return len(self.contributions(study, step))

    def contributions(self, study: StudyId, step: str) -> dict[MemberId, bytes]:
        """Return what has come in for one step."""
        return dict(sorted(self._contributions.get((study, step), {}).items()))


class MemoryNodeStore(_Facts):
    """Implements `ports.NodeStore` in memory."""

    def __init__(self) -> None:
        super().__init__()
        self._blocks: dict[Height, bytes] = {}

    async def put_blocks(self, blocks: Sequence[tuple[Height, bytes]]) -> None:
        """Keep verified blocks, all or none; another one at a known height is refused."""
        for height, data in blocks:
            if self._blocks.get(height, data) != data:
                raise InternalFault(detail=f"block {height} exists")
        self._blocks.update(blocks)

    def blocks(self, start: Height, limit: int) -> list[bytes]:
        """Return up to `limit` blocks from height `start`."""
        heights = sorted(height for height in self._blocks if height >= start)
        return [self._blocks[height] for height in heights[:limit]]

    async def delete_fact(self, name: str) -> None:
        """Forget a named value."""
        self._facts.pop(name, None)


class InlineMiner:
    """Implements `ports.Miner` in the caller's thread: for difficulties of a few bits."""

    async def mine(self, header: bytes, difficulty_bits: int) -> int:
        """Return the first nonce that is enough."""
        nonce = search(header, difficulty_bits, start=0, count=1 << 62)
        assert nonce is not None
        return nonce

    async def close(self) -> None:
        """Do nothing; the real miner ends its process."""
