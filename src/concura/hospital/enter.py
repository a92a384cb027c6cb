"""Entering something on the ledger: sign it, keep it, hand it in, keep the receipt.

An entry lies in the outbox from before it is sent until its receipt is durable, so that a kill at
any moment neither loses it nor enters it twice: the same bytes are sent again.
"""

import logging

from concura.errors import (
    ChainInvalid,
    ConcuraError,
    HubDishonest,
    InternalFault,
    NetworkError,
    ReplyInvalid,
)
from concura.hospital.watch import Watch
from concura.ledger import Entry, Receipt, decode_receipt, message, sign_entry
from concura.limits import RECEIPT_DEADLINE_MAX_MS
from concura.ports import NodePorts
from concura.sealing.keys import fingerprint
from concura.types import EntryId, JsonObject, MemberId

__all__ = ["Enter"]

_log = logging.getLogger(__name__)

_RETRY_S = 0.5


class Enter:
    """Enters this member's entries.

    Args:
        me: this member.
        watch: the verified ledger, for the chain id and the hub's key.
        ports: the world; of it hub, store, signing key, clock and randomness.
    """

    def __init__(
        self,
        me: MemberId,
        watch: Watch,
        ports: NodePorts,
    ) -> None:
        self._me = me
        self._watch = watch
        self._hub = ports.hub
        self._store = ports.store
        self._keys = ports.keys
        self._clock = ports.clock
        self._randomness = ports.randomness

    async def enter(self, kind: str, body: JsonObject) -> Receipt:
        """Sign and hand in one entry; return when it is durably accepted.

        Args:
            kind: the entry's type, such as `consent.grant`.
            body: what the contract takes for it.

        Returns:
            The hub's receipt, verified.

        Raises:
            EntryRefused: the contract says no; nothing stays in the outbox.
            HubUnreachable: it stays in the outbox and is handed in later.
            ChainInvalid: the receipt is forged, or promises nothing; it stays in the outbox.
            HubDishonest: the hub was caught before; nothing is entered any more.
        """
        self._check_trust()
        entry = Entry(
            chain=self._watch.chain.id,
            type=kind,
            author=self._me,
            time_ms=self._clock.now_ms(),
            nonce=self._randomness.draw(16).hex(),
            body=body,
        )
        key = fingerprint(self._keys.public("sign"))
        data = sign_entry(entry, key, self._keys.sign(message(entry)))
        await self._store.put_fact(f"outbox/{entry.id}", data)
        return await self._hand_in(entry.id, data)

    async def enter_patiently(self, kind: str, body: JsonObject, *, patience_s: float) -> None:
        """Enter, and go on trying while the hub does not answer.

        Raises:
            HubUnreachable: it was silent for `patience_s` seconds; the entry stays in the outbox.
            EntryRefused: the contract says no.
        """
        end = self._clock.monotonic_s() + patience_s
        try:
            await self.enter(kind, body)
        except NetworkError:
            while self._store.facts("outbox/"):
                if self._clock.monotonic_s() > end:
                    raise
                await self._clock.sleep(_RETRY_S)
                await self.flush()

    async def flush(self) -> None:
        """Hand in what an earlier life of this node, or a silent hub, left in the outbox."""
        for name, data in self._store.facts("outbox/").items():
            try:
                self._check_trust()
                await self._hand_in(EntryId(name.removeprefix("outbox/")), data)
            except NetworkError:
                return
            except ConcuraError as error:
                _log.warning("outbox entry refused error=%s why=%s", error.slug, error.why)

    def _check_trust(self) -> None:
        if self._watch.distrust is not None:
            raise HubDishonest(detail="it was caught before", evidence=self._watch.distrust)

    async def _hand_in(self, entry_id: EntryId, data: bytes) -> Receipt:
        try:
            answer = (await self._hub.submit([data]))[0]
        except (NetworkError, ReplyInvalid, InternalFault):
            # Whether it was accepted is open: the same bytes are handed in again.
            raise
        except ConcuraError:
            await self._store.delete_fact(f"outbox/{entry_id}")
            raise
        receipt = decode_receipt(answer)
        chain = self._watch.chain
        receipt.verify(chain.genesis.hub_witness, chain=chain.id, entry=entry_id)
        if receipt.deadline_ms > self._clock.now_ms() + RECEIPT_DEADLINE_MAX_MS:
            # A promise for some day could never become evidence.
            raise ChainInvalid("receipt", where="receipt", detail="deadline")
        # The receipt first: between the two writes the entry is only handed in once more.
        await self._store.put_fact(f"receipt/{entry_id}", answer)
        await self._store.delete_fact(f"outbox/{entry_id}")
        return receipt
