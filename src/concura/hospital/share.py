"""Sharing one patient's record with another hospital: ask, answer, receive.

Both sides do each step so that a kill in between is mended by doing it again: mail stays at the hub
until it is dealt with, and what was sealed is kept until it is sent.

It does NOT decide about consent: the ledger does, at the entry's place in the order.
"""

import hashlib
import logging
from dataclasses import dataclass

from concura.canonical import b64decode, b64encode, decode, encode
from concura.errors import (
    AccessRefused,
    ConcuraError,
    EntryRefused,
    EnvelopeRefused,
    HubDishonest,
    NetworkError,
    NotMember,
)
from concura.hospital.consents import Consents
from concura.hospital.enter import Enter
from concura.hospital.intake import Intake
from concura.hospital.watch import Watch
from concura.ledger import MemberCard, members, transfer
from concura.ports import AccessRecord, MailItem, NodePorts
from concura.sealing import (
    IV_BYTES,
    SALT_BYTES,
    Context,
    Record,
    check_context,
    check_digest,
    check_recipient,
    fingerprint,
    parse,
    seal,
    signing_input,
    unseal,
    verify,
)
from concura.sharing import (
    PARCEL_TYPE,
    REQUEST_TYPE,
    RecordRequest,
    decode_request,
    encode_request,
    open_parcel,
    pack,
)
from concura.types import JsonObject, MemberId, TransferId

__all__ = ["Share"]

_log = logging.getLogger(__name__)

_MAIL_CURSOR = "mail/cursor"
_RETRY_S = 0.5
# Given for an unknown patient as for a missing consent: the answer must not tell who is a patient.
_NO_CONSENT = "consent.none"
# The ledger's word for a transfer that has been offered, refused or acknowledged already.
_MOVED = "transfer.state"
# The hub showed another key for the reader than the ledger: nothing is sealed to it.
_KEY_MISMATCH = "key.mismatch"


@dataclass(frozen=True, slots=True)
class _Parcel:
    """A sealed object ready to go, as it is kept until it is sent."""

    consent: str
    digest: str
    data: bytes


class Share:
    """Asks for, gives out and takes in patients' records.

    Args:
        me: this member.
        watch: the verified ledger.
        enter: enters this member's entries.
        consents: finds the consent that a transfer needs.
        ports: the world.
        wait_s: seconds that one long poll may last.
    """

    def __init__(
        self,
        me: MemberId,
        watch: Watch,
        enter: Enter,
        consents: Consents,
        ports: NodePorts,
        *,
        wait_s: float = 25.0,
    ) -> None:
        self._me = me
        self._watch = watch
        self._enter = enter
        self._consents = consents
        self._intake = Intake(ports)
        self._hub = ports.hub
        self._store = ports.store
        self._records = ports.records
        self._access = ports.access
        self._keys = ports.keys
        self._suite = watch.chain.genesis.suite
        self._clock = ports.clock
        self._randomness = ports.randomness
        self._wait_s = wait_s

    # --- the reader asks -----------------------------------------------------------------------

    async def request(
        self, holder: MemberId, request: RecordRequest, *, purpose: str
    ) -> TransferId:
        """Ask another hospital for a patient's record.

        Returns:
            The transfer's id; `status` tells how it goes on.

        Raises:
            HubDishonest: the hub's directory holds another key for the holder than the ledger.
            EntryRefused: the contract says no.
        """
        transfer_id = TransferId(self._randomness.draw(16).hex())
        card = await self.card(holder)
        data = self._seal(
            encode_request(request),
            to=card,
            media_type=REQUEST_TYPE,
            transfer_id=transfer_id,
            consent_id="",
            purpose=purpose,
        )
        digest = hashlib.sha256(data).hexdigest()
        body = {
            "transfer": transfer_id,
            "holder": holder,
            "purpose": purpose,
            "request_digest": digest,
        }
        await self._store.put_fact(
            f"wish/{transfer_id}", encode({"to": holder, "data": b64encode(data)})
        )
        # Kept until it arrives: what comes back must be the patient that was asked for.
        await self._store.put_fact(f"asked/{transfer_id}", encode_request(request))
        await self._enter.enter("transfer.request", body)
        await self._hub.send(holder, "request", transfer_id, data)
        await self._store.delete_fact(f"wish/{transfer_id}")
        return transfer_id

    async def card(self, member: MemberId) -> MemberCard:
        """Return a member's card: from the hub's directory, if the ledger says the same.

        Raises:
            NotMember: the ledger knows no such active member.
            HubDishonest: the directory shows another card; it is kept as evidence.
        """
        known = members(self._watch.chain.state).get(member)
        if known is None:
            raise NotMember(who=member, detail="the ledger has no such active member")
        shown = await self._hub.card(member)
        if shown != encode(known.to_json()):
            await self._watch.doubt("card", {"card": b64encode(shown)}, f"another key for {member}")
        return known

    def status(self, transfer_id: TransferId) -> JsonObject:
        """Return how a transfer stands, by the verified ledger and this node's own facts."""
        entry = self._entry(transfer_id)
        arrived = self._store.fact(f"arrived/{transfer_id}")
        status = "sent" if entry is None else str(entry["status"])
        return {
            "transfer": transfer_id,
            "status": status,
            "reason": None if entry is None else entry.get("reason"),
            "digest": None if entry is None else entry.get("digest"),
            "arrived": None if arrived is None else decode(arrived),
        }

    async def until_settled(self, transfer_id: TransferId, seconds: float) -> JsonObject:
        """Wait until a transfer was refused, or delivered and acknowledged."""
        await self._watch.bell.until(
            lambda: self.status(transfer_id)["status"] in {"refused", "acknowledged"}, seconds
        )
        return self.status(transfer_id)

    # --- mail ----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Deal with mail for ever."""
        while True:
            try:
                await self._resend_wishes()
                await self.step(self._wait_s)
            except NetworkError:
                await self._clock.sleep(_RETRY_S)
            except ConcuraError as error:
                _log.warning("mail failed error=%s why=%s", error.slug, error.why)
                await self._clock.sleep(_RETRY_S)

    async def _resend_wishes(self) -> None:
        """Hand in requests whose entry stands but whose mail did not leave before a kill."""
        for name, fact in self._store.facts("wish/").items():
            transfer_id = TransferId(name.removeprefix("wish/"))
            if self._entry(transfer_id) is None:
                continue
            wish = decode(fact)
            try:
                await self._hub.send(
                    MemberId(wish["to"]), "request", transfer_id, b64decode(wish["data"])
                )
            except NetworkError:
                raise
            except ConcuraError as error:
                # One wish that the hub refuses must not hold up the mail for ever.
                _log.warning("wish refused error=%s why=%s", error.slug, error.why)
            await self._store.delete_fact(name)

    async def step(self, wait_s: float = 0.0) -> None:
        """Take and answer what lies in the mailbox."""
        cursor = int((self._store.fact(_MAIL_CURSOR) or b"0").decode())
        for item in await self._hub.mail(cursor, wait_s=wait_s):
            try:
                await self._deal_with(item)
            except NetworkError:
                raise
            except ConcuraError as error:
                # What cannot be opened or is not allowed is dropped, with its reason in the log:
                # it must not hold up the mail behind it.
                _log.warning(
                    "mail refused kind=%s error=%s why=%s", item.kind, error.slug, error.why
                )
            # Deleted first: after a kill in between, nothing of it stays at the hub.
            try:
                await self._hub.delete_mail(item.number)
            except NetworkError:
                raise
            except ConcuraError as error:
                _log.warning("mail not deleted error=%s why=%s", error.slug, error.why)
            await self._store.put_fact(_MAIL_CURSOR, str(item.number).encode())

    async def _deal_with(self, item: MailItem) -> None:
        # Mail can outrun the ledger: its entry is accepted, and stands in a block within a second.
        await self._watch.bell.until(lambda: self._entry(item.transfer) is not None, self._wait_s)
        entry = self._entry(item.transfer)
        if entry is None:
            raise AccessRefused("ledger", detail="no ledger entry names this transfer")
        if item.kind == "request" and entry["holder"] == self._me:
            await self._answer(item, entry)
        elif item.kind == "record" and entry["reader"] == self._me:
            await self._receive(item)

    def _open(self, item: MailItem, *, sender: MemberId, consent_id: str, purpose: str) -> Record:
        """Open a sealed object in the numbered steps of docs/spec/envelope.md."""
        sealed = parse(item.data, suite=self._suite)
        mine = fingerprint(self._keys.public("wrap"))
        opened = unseal(sealed, self._keys.unwrap(sealed.encrypted_key(mine)))
        card = members(self._watch.chain.state).get(sender)
        if card is None:
            raise NotMember(who=sender, detail="the ledger has no such active member")
        record = verify(opened, sender_public=card.sign)
        check_context(
            record,
            chain=self._chain,
            transfer=item.transfer,
            consent=consent_id,
            purpose=purpose,
            sender=sender,
        )
        check_recipient(record, mine)
        return record

    async def _compare(self, record: Record) -> None:
        """Compare the sender's view of the ledger with ours: this joins split worlds."""
        if record.context.checkpoint:
            await self._watch.hear(record.context.checkpoint.encode())

    # --- the holder answers --------------------------------------------------------------------

    async def _answer(self, item: MailItem, entry: JsonObject) -> None:
        reader = MemberId(entry["reader"])
        if entry["status"] != "requested":
            await self._send_again(item.transfer, reader, entry)
            return
        if hashlib.sha256(item.data).hexdigest() != entry["request_digest"]:
            raise EnvelopeRefused("digest", step=2, detail="another request than on the ledger")
        record = self._open(item, sender=reader, consent_id="", purpose=entry["purpose"])
        await self._compare(record)
        parcel = self._kept(item.transfer)
        if parcel is None:
            try:
                parcel = await self._prepare(record, item, reader=reader, purpose=entry["purpose"])
            except HubDishonest:
                await self._refuse(item.transfer, _KEY_MISMATCH)
                raise
        if parcel is None:
            await self._refuse(item.transfer, _NO_CONSENT)
            return
        offer = {"transfer": item.transfer, "consent": parcel.consent, "digest": parcel.digest}
        try:
            # The law: nothing leaves before its entry is durably accepted.
            await self._enter.enter("transfer.offer", offer)
        except EntryRefused as error:
            if error.why != _MOVED:
                await self._refuse(item.transfer, error.why)
                return
            if not await self._is_offered(item.transfer, parcel.digest):
                raise
        await self._hub.send(reader, "record", item.transfer, parcel.data)
        await self._store.delete_fact(f"parcel/{item.transfer}")

    async def _send_again(self, transfer_id: str, reader: MemberId, entry: JsonObject) -> None:
        """Send what was offered before a kill, and did not leave."""
        parcel = self._kept(transfer_id)
        if parcel is None:
            return
        if entry["status"] == "offered" and parcel.digest == entry["digest"]:
            await self._hub.send(reader, "record", transfer_id, parcel.data)
        await self._store.delete_fact(f"parcel/{transfer_id}")

    async def _prepare(
        self, record: Record, item: MailItem, *, reader: MemberId, purpose: str
    ) -> _Parcel | None:
        """Log, pack and seal a patient's record; None if no consent covers it."""
        request = decode_request(record.body)
        patient = self._records.by_identifier(request.system, request.value)
        consent_id = (
            None
            if patient is None
            else self._consents.find(patient, reader=reader, purpose=purpose)
        )
        if patient is None or consent_id is None:
            return None
        token = item.transfer
        await self._access.append(
            [AccessRecord(self._clock.now_ms(), f"member:{reader}", "export", token, purpose)]
        )
        card = await self.card(reader)
        data = self._seal(
            pack([resource.body for resource in self._records.of_patient(patient)]),
            to=card,
            media_type=PARCEL_TYPE,
            transfer_id=TransferId(item.transfer),
            consent_id=consent_id,
            purpose=purpose,
        )
        parcel = _Parcel(consent_id, parse(data, suite=self._suite).digest, data)
        kept = {"consent": parcel.consent, "digest": parcel.digest, "data": b64encode(data)}
        await self._store.put_fact(f"parcel/{item.transfer}", encode(kept))
        return parcel

    def _kept(self, transfer_id: str) -> _Parcel | None:
        fact = self._store.fact(f"parcel/{transfer_id}")
        if fact is None:
            return None
        kept = decode(fact)
        return _Parcel(kept["consent"], kept["digest"], b64decode(kept["data"]))

    async def _refuse(self, transfer_id: str, reason: str) -> None:
        await self._store.delete_fact(f"parcel/{transfer_id}")
        await self._enter.enter("transfer.refuse", {"transfer": transfer_id, "reason": reason})

    async def _is_offered(self, transfer_id: str, digest: str) -> bool:
        """Say whether an earlier life of this node entered the very same offer."""
        await self._watch.bell.until(
            lambda: (self._entry(transfer_id) or {})["status"] != "requested", self._wait_s
        )
        entry = self._entry(transfer_id)
        return entry is not None and entry.get("digest") == digest

    # --- the reader receives -------------------------------------------------------------------

    async def _receive(self, item: MailItem) -> None:
        await self._watch.bell.until(
            lambda: (self._entry(item.transfer) or {})["status"] != "requested",
            self._wait_s,
        )
        entry = self._entry(item.transfer)
        if entry is None or entry["status"] not in {"offered", "acknowledged"}:
            raise AccessRefused("ledger", detail="the ledger has no offer for this transfer")
        check_digest(parse(item.data, suite=self._suite), entry["digest"])
        record = self._open(
            item,
            sender=MemberId(entry["holder"]),
            consent_id=entry["consent"],
            purpose=entry["purpose"],
        )
        await self._compare(record)
        if self._store.fact(f"arrived/{item.transfer}") is None:
            await self._take_in(item, open_parcel(record.body), entry)
        if entry["status"] == "offered":
            body = {"transfer": item.transfer, "digest": entry["digest"]}
            await self._enter.enter("transfer.acknowledge", body)

    async def _take_in(
        self, item: MailItem, resources: list[JsonObject], entry: JsonObject
    ) -> None:
        """Log, check and store what came in."""
        patient = self._intake.check(resources, holder=entry["holder"])
        self._intake.check_asked(item.transfer, resources)
        now = self._clock.now_ms()
        await self._access.append(
            [
                AccessRecord(
                    now, f"member:{entry['holder']}", "import", item.transfer, entry["purpose"]
                )
            ]
        )
        # Whose it is stands before it does: a kill in between must not make it ours.
        await self._store.put_fact(f"origin/{patient}", entry["holder"].encode())
        await self._records.put(resources)
        arrived = {
            "from": entry["holder"],
            "resources": len(resources),
            "size_bytes": len(item.data),
            "patient": patient,
        }
        await self._store.put_fact(f"arrived/{item.transfer}", encode(arrived))
        await self._store.delete_fact(f"asked/{item.transfer}")

    # --- sealing -------------------------------------------------------------------------------

    def _seal(
        self,
        body: bytes,
        *,
        to: MemberCard,
        media_type: str,
        transfer_id: TransferId,
        consent_id: str,
        purpose: str,
    ) -> bytes:
        context = Context(
            chain=self._chain,
            transfer=transfer_id,
            consent=consent_id,
            purpose=purpose,
            sender=self._me,
            recipients=(fingerprint(to.wrap),),
            checkpoint=self._watch.carried_checkpoint().decode(),
        )
        salt = self._randomness.draw(SALT_BYTES)
        suite = self._suite
        message = signing_input(context, body, media_type=media_type, salt=salt, suite=suite)
        return seal(
            message,
            self._keys.sign(message),
            context=context,
            salt=salt,
            recipients=[to.wrap],
            content_key=self._randomness.draw(suite.key_bytes),
            iv=self._randomness.draw(IV_BYTES),
            suite=suite,
        )

    def _entry(self, transfer_id: str) -> JsonObject | None:
        """Return how a transfer stands on the verified ledger."""
        return transfer(self._watch.chain.state, TransferId(transfer_id))

    @property
    def _chain(self) -> str:
        return self._watch.chain.id
