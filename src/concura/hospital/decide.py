"""Deciding for one patient of this hospital, and following a decision back to the ledger.

The access log takes the read before anything is shown ("no log, no data"). It does NOT train.
"""

from dataclasses import dataclass

import numpy as np

from concura.canonical import b64decode, decode
from concura.decisions import Decision, decide
from concura.errors import ModelUnusable, NotFound
from concura.hospital.cohort import Cohorts
from concura.hospital.watch import Watch
from concura.learning import Model, predict, sides
from concura.ledger import decode_block, entry_bundle, model, study
from concura.ports import AccessRecord, NodePorts
from concura.records import FeatureSet, extract, parse_features, record_number, record_system
from concura.sealing import token
from concura.types import EntryId, Height, JsonObject, MemberId, ModelId, PatientId, TimeMs

__all__ = ["Decide", "Decided"]


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision with what is needed to explain and to check it.

    Args:
        decision: what the model says.
        model: the model.
        features: the definitions of its inputs.
        values: this patient's inputs by name; None where missing.
        patient: the patient's logical id.
        number: the hospital's record number.
        index_time: from which the horizon runs.
    """

    decision: Decision
    model: Model
    features: FeatureSet
    values: dict[str, float | None]
    patient: PatientId
    number: str
    index_time: TimeMs


class Decide:
    """Applies published models to this hospital's patients.

    Args:
        me: this member.
        watch: the verified ledger.
        cohorts: for held-out patients.
        ports: the world; of it store, records, access log and clock.
    """

    def __init__(
        self,
        me: MemberId,
        watch: Watch,
        cohorts: Cohorts,
        ports: NodePorts,
    ) -> None:
        self._me = me
        self._watch = watch
        self._cohorts = cohorts
        self._store = ports.store
        self._records = ports.records
        self._access = ports.access
        self._clock = ports.clock

    def models(self) -> list[ModelId]:
        """Return the published models that this node holds, oldest name first."""
        return [ModelId(name.removeprefix("model/")) for name in self._store.facts("model/")]

    def load(self, model_id: ModelId) -> tuple[Model, JsonObject]:
        """Return a model and its feature definitions, checked against the verified ledger.

        Raises:
            ModelUnusable: not held here, changed on disk, or not published on the ledger.
        """
        fact = self._store.fact(f"model/{model_id}")
        if fact is None:
            raise ModelUnusable(detail=f"this node holds no model {model_id[:12]}")
        kept = decode(fact, floats=True)
        found = Model.decode(b64decode(kept["model"]))
        entry = model(self._watch.chain.state, model_id)
        if found.id != model_id or entry is None:
            raise ModelUnusable(detail="the ledger does not have it as published")
        return found, kept["features"]

    async def highest(self, model_id: ModelId) -> tuple[str, float] | None:
        """Find the held-out consenting patient of this hospital with the highest risk.

        Returns:
            Record number and probability; None without held-out patients.
        """
        found, features = self.load(model_id)
        cohort = await self._cohorts.build(model_id, features)
        held, _ = sides(found.study, cohort.records)
        if not held.any():
            return None
        risks = predict(found, cohort.x)
        best = int(np.flatnonzero(held)[risks[held].argmax()])
        return cohort.records[best], float(risks[best])

    async def decide(self, model_id: ModelId, number: str, *, who: str) -> Decided:
        """Decide for the patient with a record number.

        Args:
            model_id: the model.
            number: the hospital's own record number.
            who: the user; stands in the access log.

        Raises:
            NotFound: no such patient.
            StoreFull: the access log cannot take the read.
        """
        found, definitions = self.load(model_id)
        features = parse_features(definitions)
        patient = self._find(number)
        what = token(self._records.pseudonym_key(patient), "access log").hex()[:32]
        await self._access.append(
            [AccessRecord(self._clock.now_ms(), who, "decide", what, "treatment")]
        )
        resources = [stored.body for stored in self._records.of_patient(patient)]
        values = extract(resources, features)
        row = {
            name: None if np.isnan(value) else float(value)
            for name, value in zip(features.names, values.values, strict=True)
        }
        return Decided(
            decide(found, row),
            found,
            features,
            row,
            patient,
            record_number(resources),
            values.index_time,
        )

    def _find(self, number: str) -> PatientId:
        patient = self._records.by_identifier(record_system(self._me), number)
        if patient is None:
            raise NotFound(what=f"record number {number}")
        return patient

    def proof(self, entry: EntryId) -> bytes:
        """Return the bundle that proves an entry offline (docs/spec/ledger.md).

        Raises:
            NotFound: the entry does not stand under a final head yet.
        """
        chain = self._watch.chain
        place = chain.find(entry)
        note = self._watch.newest_checkpoint()
        if place is None or not note or place.height > self._watch.final_height:
            raise NotFound(what=f"a final block with entry {entry[:12]}")
        size = self._watch.final_height + 1
        block = decode_block(self._store.blocks(Height(place.height), 1)[0])
        path = chain.inclusion(place.height, size)
        return entry_bundle(block, place.index, size=size, log_path=path, checkpoint=note)

    def origin(self, model_id: ModelId) -> JsonObject:
        """Follow a model back: its entry, study, rounds and the consents it was learned under."""
        state = self._watch.chain.state
        entry = model(state, model_id)
        if entry is None:
            raise ModelUnusable(detail="the ledger does not have it")
        place = self._watch.chain.find(entry["entry"])
        opened = study(state, entry["study"])
        return {
            "model": model_id,
            "entry": entry["entry"],
            "block": None if place is None else place.height,
            "final": place is not None and place.height <= self._watch.final_height,
            "study": entry["study"],
            "rounds": entry["rounds"],
            "participants": [] if opened is None else opened["participants"],
            "consent_height": None if opened is None else opened["consent_height"],
        }
