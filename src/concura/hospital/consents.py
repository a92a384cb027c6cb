"""Patients' consents to the sharing of their records: entered, ended, and found again.

Which patient a consent on the ledger belongs to is known here alone: the ledger holds a pseudonym.
It does NOT decide about a transfer: the ledger does, by its own order (PROTOCOLS §7).
"""

from concura.canonical import decode, encode
from concura.hospital.enter import Enter
from concura.hospital.watch import Watch
from concura.ledger import consent
from concura.ports import NodePorts
from concura.sealing import pseudonym
from concura.types import ConsentId, MemberId, PatientId

__all__ = ["Consents"]

_PREFIX = "consent/"


class Consents:
    """Enters, ends and finds consents for one reader each.

    Args:
        me: this member.
        watch: the verified ledger.
        enter: enters this member's entries.
        ports: the world; of it store, records, clock and randomness.
    """

    def __init__(self, me: MemberId, watch: Watch, enter: Enter, ports: NodePorts) -> None:
        self._me = me
        self._watch = watch
        self._enter = enter
        self._store = ports.store
        self._records = ports.records
        self._clock = ports.clock
        self._randomness = ports.randomness

    async def grant(
        self, patient: PatientId, *, reader: MemberId, purpose: str, not_after_ms: int
    ) -> ConsentId:
        """Enter a patient's consent for one reader and purpose.

        Returns:
            The consent's id.

        Raises:
            NotFound: no such patient here.
            EntryRefused: the contract says no.
        """
        subject = pseudonym(
            self._records.pseudonym_key(patient),
            chain=self._watch.chain.id,
            purpose=purpose,
            holder=self._me,
            reader=reader,
        )
        consent_id = ConsentId(self._randomness.draw(16).hex())
        fact = encode({"patient": patient, "reader": reader, "purpose": purpose})
        # Kept before it is entered: a consent on the ledger that nobody can tell the patient of
        # could never be used or revoked.
        await self._store.put_fact(f"{_PREFIX}{consent_id}", fact)
        await self._enter.enter(
            "consent.grant",
            {
                "purpose": purpose,
                "reader": reader,
                "not_after_ms": not_after_ms,
                "consents": [{"id": consent_id, "subject": subject}],
            },
        )
        return consent_id

    async def revoke(self, consents: list[ConsentId]) -> None:
        """Enter that consents end here.

        Raises:
            EntryRefused: one of them is unknown, another holder's, or ended before.
        """
        await self._enter.enter("consent.revoke", {"consents": sorted(consents)})

    def find(self, patient: PatientId, *, reader: MemberId, purpose: str) -> ConsentId | None:
        """Find a consent of this patient that holds on the verified ledger.

        The last word is the ledger's own: a consent that was revoked a moment ago is refused there.
        """
        ended: ConsentId | None = None
        wanted = {"patient": patient, "reader": reader, "purpose": purpose}
        now = self._clock.now_ms()
        for name, fact in self._store.facts(_PREFIX).items():
            if decode(fact) != wanted:
                continue
            consent_id = ConsentId(name.removeprefix(_PREFIX))
            entry = consent(self._watch.chain.state, consent_id)
            if entry is not None and entry["status"] == "active" and now <= entry["not_after_ms"]:
                return consent_id
            ended = consent_id
        # A consent that ended is offered all the same: the ledger refuses it, by its own order,
        # and names the rule.
        return ended
