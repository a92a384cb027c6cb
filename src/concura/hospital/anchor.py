"""Anchoring: the access log's root goes onto the shared ledger, so that it cannot be rewritten.

The root is blinded: the ledger learns the log's size and nothing that could be guessed from it
(PROTOCOLS §6). It does NOT write the log.
"""

import logging

from concura.errors import ConcuraError
from concura.hospital.enter import Enter
from concura.ledger import blinded_root
from concura.ports import NodePorts

__all__ = ["Anchor"]

_log = logging.getLogger(__name__)

_FACT = "anchor"


class Anchor:
    """Enters the access log's root from time to time.

    Args:
        enter: enters this member's entries.
        ports: the world; of it access log, store, clock and randomness.
        every_s: seconds between two anchors.
    """

    def __init__(
        self,
        enter: Enter,
        ports: NodePorts,
        *,
        every_s: float,
    ) -> None:
        self._enter = enter
        self._access = ports.access
        self._store = ports.store
        self._clock = ports.clock
        self._randomness = ports.randomness
        self._every_s = every_s

    async def run(self) -> None:
        """Anchor for ever, and hand in what a silent hub left over; a fault only delays it."""
        while True:
            await self._clock.sleep(self._every_s)
            try:
                await self._enter.flush()
                await self.anchor()
            except ConcuraError as error:
                _log.warning("anchor failed error=%s why=%s", error.slug, error.why)

    async def anchor(self) -> int:
        """Enter the log's root if it grew; return its size."""
        size = self._access.size()
        last = self._store.fact(_FACT)
        if size == 0 or last == str(size).encode():
            return size
        blinding = self._randomness.draw(32)
        root = blinded_root(bytes.fromhex(self._access.root()), blinding)
        await self._store.put_fact(f"{_FACT}/{size:020d}", blinding)
        await self._enter.enter("access.anchor", {"root": root, "size": size})
        await self._store.put_fact(_FACT, str(size).encode())
        return size
