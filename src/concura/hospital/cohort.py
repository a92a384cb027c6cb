"""The consenting patients of this hospital as arrays: who may enter a study, and phi(x) of each.

Only patients with an active consent for research on the verified ledger enter; every other record
stays unread. It does NOT send anything.
"""

from collections.abc import Mapping

import numpy as np

from concura.canonical import decode, encode
from concura.errors import EntryRefused
from concura.hospital.enter import Enter
from concura.hospital.watch import Watch
from concura.learning import Cohort
from concura.ledger import consent
from concura.limits import CONSENTS_PER_ENTRY_MAX
from concura.ports import AccessRecord, NodePorts
from concura.records import extract, parse_features, record_number
from concura.sealing import pseudonym
from concura.types import ConsentId, JsonObject, MemberId, PatientId

__all__ = ["EVERYONE", "RESEARCH", "Cohorts"]

RESEARCH = "research"
# The reader of a research consent: every participant of a study, and none of them alone.
EVERYONE = MemberId("*")
_PREFIX = "research/"


class Cohorts:
    """Enters research consents and builds cohorts from them.

    Args:
        me: this member.
        watch: the verified ledger.
        enter: enters this member's entries.
        ports: the world; of it store, records, access log, clock and randomness.
    """

    def __init__(
        self,
        me: MemberId,
        watch: Watch,
        enter: Enter,
        ports: NodePorts,
    ) -> None:
        self._me = me
        self._watch = watch
        self._enter = enter
        self._store = ports.store
        self._records = ports.records
        self._access = ports.access
        self._clock = ports.clock
        self._randomness = ports.randomness

    async def grant(self, patients: list[PatientId], *, not_after_ms: int) -> int:
        """Enter patients' consents for research; those that have one already are left out.

        Returns:
            How many were entered.
        """
        await self._finish(not_after_ms)
        have = set(self._consents().values())
        wanted = [patient for patient in patients if patient not in have]
        for start in range(0, len(wanted), CONSENTS_PER_ENTRY_MAX):
            batch = wanted[start : start + CONSENTS_PER_ENTRY_MAX]
            ids = {ConsentId(self._randomness.draw(16).hex()): patient for patient in batch}
            # Which consent is whose stays here; kept first, so that none on the ledger is nobody's.
            await self._store.put_fact(_PREFIX + min(ids), encode(dict(ids)))
            await self._grant(ids, not_after_ms)
        return len(wanted)

    async def _finish(self, not_after_ms: int) -> None:
        """Enter the consents that a kill cut off after they were kept, under the same ids."""
        for fact in self._store.facts(_PREFIX).values():
            ids: dict[ConsentId, PatientId] = decode(fact)
            if any(consent(self._watch.chain.state, consent_id) is not None for consent_id in ids):
                continue
            try:
                await self._grant(ids, not_after_ms)
            except EntryRefused as error:
                # They were entered after all, and their block is still on its way here.
                if error.values.get("rule") != "consent.exists":
                    raise

    async def _grant(self, ids: Mapping[ConsentId, PatientId], not_after_ms: int) -> None:
        consents = [
            {
                "id": consent_id,
                "subject": pseudonym(
                    self._records.pseudonym_key(patient),
                    chain=self._watch.chain.id,
                    purpose=RESEARCH,
                    holder=self._me,
                    reader=EVERYONE,
                ),
            }
            for consent_id, patient in ids.items()
        ]
        body = {
            "purpose": RESEARCH,
            "reader": EVERYONE,
            "not_after_ms": not_after_ms,
            "consents": consents,
        }
        await self._enter.enter("consent.grant", body)

    def consenting(self) -> list[PatientId]:
        """Return the patients whose consent for research is active now, ordered by id."""
        state, now = self._watch.chain.state, self._clock.now_ms()
        found = {
            patient
            for consent_id, patient in self._consents().items()
            if (entry := consent(state, consent_id)) is not None
            and entry["status"] == "active"
            and now <= entry["not_after_ms"]
        }
        return sorted(found)

    def _consents(self) -> dict[ConsentId, PatientId]:
        found: dict[ConsentId, PatientId] = {}
        for fact in self._store.facts(_PREFIX).values():
            found.update(decode(fact))
        return found

    async def build(self, what: str, features: JsonObject) -> Cohort:
        """Read the consenting patients' records and compute phi(x) of each.

        Args:
            what: the study or model that they are read for; stands in the access log.
            features: the feature definitions.

        Returns:
            The cohort: x float64[n, d] with NaN where missing, y bool[n], record numbers.

        Raises:
            StoreFull: the access log cannot take the read ("no log, no data").
        """
        now = self._clock.now_ms()
        await self._access.append([AccessRecord(now, f"node:{self._me}", "train", what, RESEARCH)])
        feature_set = parse_features(features)
        rows, outcomes, numbers = [], [], []
        for patient in self.consenting():
            resources = [stored.body for stored in self._records.of_patient(patient)]
            found = extract(resources, feature_set)
            if found.label is None:
                continue
            rows.append(found.values)
            outcomes.append(found.label)
            numbers.append(record_number(resources))
        x = np.array(rows, dtype=np.float64).reshape(len(rows), len(feature_set.names))
        return Cohort(x, np.array(outcomes, dtype=np.bool_), tuple(numbers))
