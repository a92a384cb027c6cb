"""The sharing platform: one object that holds the hub's use cases, and a session per caller.

A `Session` implements the port `Hub` for one caller, known by its TLS key; the web layer puts HTTP
around it, the in-memory town uses it as it is.
"""

import logging
from collections.abc import Callable, Sequence

from concura.canonical import encode
from concura.errors import ConcuraError, NotFound, NotMember
from concura.hub.founding import Founding
from concura.hub.mailbox import Mailbox
from concura.hub.ordering import Ordering, Signer
from concura.hub.rounds import Rounds
from concura.ledger import (
    Genesis,
    MemberCard,
    SignedEntry,
    applicants,
    decode_entry,
    member,
    members,
    parse_note,
    verify_cosignature,
)
from concura.limits import MEMBERS_MAX
from concura.ports import Bell, Clock, HubStore, MailItem, Miner
from concura.types import Fingerprint, Height, MemberId, StudyId

__all__ = ["Platform", "Session"]

_log = logging.getLogger(__name__)

_BLOCKS_PER_ANSWER = 200


class Platform:
    """The hub: founding, ordering, mailbox, rounds, directory.

    Args:
        genesis: the consortium's constitution.
        store: what the hub keeps.
        clock: time.
        miner: work.
        signer: signs with the hub's Ed25519 key.
        interval_ms: least time between two blocks.
        on_authority: told of a new member's certificate authority (DER), so that TLS lets it in.
    """

    def __init__(
        self,
        genesis: Genesis,
        *,
        store: HubStore,
        clock: Clock,
        miner: Miner,
        signer: Signer,
        interval_ms: int,
        on_authority: Callable[[bytes], None] = lambda _der: None,
    ) -> None:
        self.genesis = genesis
        self.store = store
        self.clock = clock
        self._miner = miner
        self._signer = signer
        self._interval_ms = interval_ms
        self._on_authority = on_authority
        self.founding = Founding(genesis, store)
        self.mailbox = Mailbox(store, clock, suite=genesis.suite)
        self.rounds = Rounds(store, clock)
        self.founded = Bell(clock)
        self._ordering: Ordering | None = None

    @property
    def ordering(self) -> Ordering:
        """The ledger; only after all founders have signed."""
        if self._ordering is None:
            raise NotFound("founding", what="the ledger")
        return self._ordering

    async def run(self) -> None:
        """Wait for the founders, then seal blocks for ever."""
        while not self.founding.is_complete():
            await self.founded.wait(3600.0)
        if not self.store.blocks(Height(0), 1):
            await Ordering.found(
                self.genesis,
                self.founding.signatures(),
                store=self.store,
                clock=self.clock,
                miner=self._miner,
                signer=self._signer,
            )
        self._ordering = Ordering.open(
            self.genesis,
            store=self.store,
            clock=self.clock,
            miner=self._miner,
            signer=self._signer,
            interval_ms=self._interval_ms,
        )
        for card in [*members(self._ordering.state).values(), *applicants(self._ordering.state)]:
            self._let_in(card)
        self.founded.ring()
        await self._ordering.run()

    def close(self) -> None:
        """Let go of everyone who waits for news, so that the process can end at once."""
        bells = [self.founded, self.mailbox.bell, self.rounds.bell]
        if self._ordering is not None:
            bells.append(self._ordering.bell)
        for bell in bells:
            bell.close()

    def status(self) -> dict[str, int | str | bool]:
        """Return what /healthz tells: counts and the chain, nothing about patients."""
        if self._ordering is None:
            missing = len(self.genesis.founders) - len(self.founding.signatures())
            return {"ready": False, "height": -1, "founders_missing": missing}
        return {"ready": True, **self._ordering.status}

    def session(self, tls: Fingerprint | None) -> "Session":
        """Return what a caller with this TLS key may use."""
        return Session(self, tls)

    async def welcome(self, signed: SignedEntry) -> None:
        """Let an applicant's authority in, and keep a new member's card for the directory."""
        if signed.entry.type == "member.apply":
            for card in applicants(self.ordering.state):
                if card.member == signed.entry.author:
                    self._let_in(card)
        if signed.entry.type == "member.admit":
            admitted = member(self.ordering.state, MemberId(signed.entry.body["member"]))
            if admitted is not None:
                fact = encode(admitted.to_json())
                await self.store.put_fact(f"card/{admitted.member}", fact)

    def _let_in(self, card: MemberCard) -> None:
        try:
            self._on_authority(card.authority)
        except ConcuraError as error:
            # Anybody may apply: whose authority is unusable stays outside, and stops nobody else.
            _log.warning("authority unusable member=%s error=%s", card.member, error.slug)


class Session:
    """Implements the port `Hub` for one caller.

    Args:
        platform: the hub.
        tls: fingerprint of the caller's TLS key; None without a client certificate.
    """

    def __init__(self, platform: Platform, tls: Fingerprint | None) -> None:
        self._platform = platform
        self._tls = tls

    def _member(self, *, applicant: bool = False) -> MemberId:
        """Say who calls, by the ledger as it stands at this request."""
        found = self._platform.ordering.caller(self._tls) if self._tls else None
        if found is None:
            raise NotMember(who="caller", detail="its TLS key is no member's")
        caller, is_admitted = found
        if not is_admitted and not applicant:
            raise NotMember(who=caller, detail="it is not admitted yet")
        return caller

    async def genesis(self) -> bytes:
        """See the port. Open to anyone with the invitation: it holds public keys only."""
        return self._platform.founding.document()

    async def found(self, member: MemberId, signature: bytes) -> None:
        """See the port. The signature itself says who it is from."""
        await self._platform.founding.sign(member, signature)
        self._platform.founded.ring()

    async def submit(self, entries: Sequence[bytes]) -> list[bytes]:
        """See the port. An applicant MAY hand in its application, and nothing else."""
        signed = [decode_entry(data) for data in entries]
        if not all(one.entry.type == "member.apply" for one in signed):
            caller = self._member()
            if any(one.entry.author != caller for one in signed):
                raise NotMember(who=caller, detail="it hands in an entry of another author")
        elif len(applicants(self._platform.ordering.state)) >= MEMBERS_MAX:
            # Anybody with an invitation may apply: the list of those who wait is bounded.
            raise NotMember(who="applicant", detail="too many applications wait already")
        receipts = await self._platform.ordering.accept(entries)
        for one in signed:
            await self._platform.welcome(one)
        return receipts

    async def blocks(self, start: Height, *, wait_s: float) -> list[bytes]:
        """See the port."""
        self._member(applicant=True)
        ordering = self._platform.ordering
        await ordering.bell.until(lambda: ordering.stored >= start, wait_s)
        return self._platform.store.blocks(start, _BLOCKS_PER_ANSWER)

    async def checkpoint(self) -> bytes:
        """See the port."""
        self._member(applicant=True)
        ordering = self._platform.ordering
        lines = self._platform.store.cosignatures(ordering.stored + 1)
        return self._platform.store.checkpoint() + b"".join(lines.values())

    async def cosign(self, size: int, line: bytes) -> None:
        """See the port. Lines that do not verify are refused: they would only spoil the note."""
        caller = self._member()
        ordering = self._platform.ordering
        card = members(ordering.state)[caller]
        if size == ordering.stored + 1:
            text = parse_note(self._platform.store.checkpoint()).text
            verify_cosignature(text, line, name=caller, public=card.witness)
            await self._platform.store.put_cosignature(size, caller, line)
            ordering.bell.ring()

    async def card(self, member: MemberId) -> bytes:
        """See the port. A cache, and served as one."""
        self._member()
        found = self._platform.store.fact(f"card/{member}")
        if found is None:
            raise NotFound(what=member)
        return found

    async def send(self, recipient: MemberId, kind: str, transfer: str, data: bytes) -> None:
        """See the port."""
        item = MailItem(0, recipient, self._member(), kind, transfer, data)
        await self._platform.mailbox.send(item, state=self._platform.ordering.state)

    async def mail(self, after: int, *, wait_s: float) -> list[MailItem]:
        """See the port."""
        return await self._platform.mailbox.receive(self._member(), after=after, wait_s=wait_s)

    async def delete_mail(self, number: int) -> None:
        """See the port."""
        await self._platform.mailbox.delete(self._member(), number)

    async def contribute(self, study: StudyId, step: str, data: bytes) -> None:
        """See the port."""
        await self._platform.rounds.contribute(
            self._member(),
            study_id=study,
            step=step,
            data=data,
            state=self._platform.ordering.state,
        )

    async def put_task(self, study: StudyId, data: bytes) -> None:
        """See the port."""
        await self._platform.rounds.put_task(
            self._member(), study_id=study, data=data, state=self._platform.ordering.state
        )

    async def task(self, study: StudyId, *, wait_s: float) -> bytes:
        """See the port."""
        return await self._platform.rounds.task(
            self._member(), study_id=study, wait_s=wait_s, state=self._platform.ordering.state
        )

    async def mask_keys(self, study: StudyId, *, wait_s: float) -> dict[MemberId, bytes]:
        """See the port."""
        return await self._platform.rounds.mask_keys(
            self._member(), study_id=study, wait_s=wait_s, state=self._platform.ordering.state
        )

    async def total(self, study: StudyId, step: str, *, wait_s: float) -> bytes:
        """See the port."""
        return await self._platform.rounds.total(
            self._member(),
            study_id=study,
            step=step,
            wait_s=wait_s,
            state=self._platform.ordering.state,
        )
