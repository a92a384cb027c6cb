"""The mailbox: sealed objects wait here for the member that they are sealed to.

The law "nothing is released before its ledger entry is durably accepted" is kept here too: an
object gets in only if an accepted entry names its digest, its sender and its recipient. The hub
reads the outside of an envelope, nothing else: it has no key.
"""

import hashlib
from dataclasses import replace

from concura.errors import AccessRefused, NotFound, UsageInvalid
from concura.ledger import State, transfer
from concura.ports import Bell, Clock, HubStore, MailItem
from concura.sealing import AES, Suite, parse
from concura.types import MemberId, TransferId

__all__ = ["Mailbox"]

_KINDS = ("request", "record")


class Mailbox:
    """Takes and hands out sealed objects.

    Args:
        store: where they are kept.
        clock: time, for waiting.
        suite: the consortium's.
    """

    def __init__(self, store: HubStore, clock: Clock, *, suite: Suite = AES) -> None:
        self._store = store
        self._suite = suite
        self.bell = Bell(clock)

    async def send(self, item: MailItem, *, state: State) -> int:
        """Put an object into its recipient's mailbox.

        Args:
            item: the object; its number is ignored.
            state: the accepted state of the ledger.

        Returns:
            Its number.

        Raises:
            AccessRefused: no accepted entry allows it.
            UsageInvalid: unknown kind.
            EnvelopeRefused: the object is no sealed record.
        """
        if item.kind not in _KINDS:
            raise UsageInvalid(detail="mail is of kind request or record")
        sealed = parse(item.data, suite=self._suite)
        entry = transfer(state, TransferId(item.transfer))
        if entry is None or sealed.transfer != item.transfer:
            raise AccessRefused("ledger", detail="no accepted ledger entry names this transfer")
        if item.kind == "request":
            allowed = (entry["reader"], entry["holder"], entry["request_digest"])
            digest = hashlib.sha256(item.data).hexdigest()
        else:
            allowed = (entry["holder"], entry["reader"], entry.get("digest"))
            digest = sealed.digest
        if (item.sender, item.recipient, digest) != allowed:
            raise AccessRefused("ledger", detail="the accepted ledger entry names another object")
        number = await self._store.put_mail(replace(item, number=0))
        self.bell.ring()
        return number

    async def receive(self, recipient: MemberId, *, after: int, wait_s: float) -> list[MailItem]:
        """Return a member's mail with a number above `after`, waiting for the first."""
        await self.bell.until(lambda: bool(self._store.mail(recipient, after)), wait_s)
        return self._store.mail(recipient, after)

    async def delete(self, recipient: MemberId, number: int) -> None:
        """Remove an item that its recipient has."""
        if not any(item.number == number for item in self._store.mail(recipient, number - 1)):
            raise NotFound(what=f"mail {number}")
        await self._store.delete_mail(number)
