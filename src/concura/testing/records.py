"""In-memory record store and access log: the same behaviour as the SQLite ones, without a disk.

They do NOT encrypt anything: they are for tests and for studies in one process.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from copy import deepcopy

from concura.errors import InternalFault, NotFound, ResourceInvalid
from concura.ledger.access_log import encode_record
from concura.ledger.merkle import CompactRange, leaf_hash
from concura.ports import AccessRecord, Randomness, StoredResource
from concura.records import check_resource, patient_of
from concura.types import Digest, JsonObject, PatientId

__all__ = ["MemoryAccessLog", "MemoryRecords"]


class MemoryRecords:
    """A `ports.RecordStore` in memory.

    Args:
        randomness: where pseudonym keys come from.
    """

    def __init__(self, *, randomness: Randomness) -> None:
        self._randomness = randomness
        self._versions: dict[tuple[str, str], list[StoredResource]] = {}
        self._keys: dict[PatientId, bytes] = {}
        self._identifiers: set[tuple[str, str, PatientId]] = set()

    def copy(self, *, randomness: Randomness) -> "MemoryRecords":
        """Return another store that holds the same; the two go apart from here."""
        other = MemoryRecords(randomness=randomness)
        # What stands in a version is never changed, so that both may hold it.
        other._versions = {key: list(versions) for key, versions in self._versions.items()}
        other._keys = dict(self._keys)
        other._identifiers = set(self._identifiers)
        return other

    async def put(self, resources: Sequence[JsonObject]) -> list[tuple[str, str, int]]:
        """Store checked resources, all or none."""
        checked = [(check_resource(r), patient_of(r)) for r in resources]
        for resource, patient in checked:
            known = self._versions.get((resource["resourceType"], resource["id"]))
            if known and known[-1].patient != patient:
                raise ResourceInvalid("other_patient", path=f"{resource['resourceType']}.id")
        here = {patient for resource, patient in checked if resource["resourceType"] == "Patient"}
        if any(p not in here and ("Patient", p) not in self._versions for _, p in checked):
            raise ResourceInvalid("reference", path="subject.reference")
        return [self._put(resource, patient) for resource, patient in checked]

    def get(self, resource_type: str, resource_id: str) -> StoredResource | None:
        """Return the newest version, or None."""
        versions = self._versions.get((resource_type, resource_id))
        return deepcopy(versions[-1]) if versions else None

    def of_patient(self, patient: PatientId) -> list[StoredResource]:
        """Return every resource of one patient, newest versions."""
        found = [deepcopy(v[-1]) for v in self._versions.values() if v[-1].patient == patient]
        return sorted(found, key=lambda r: (r.type != "Patient", r.type, r.id))

    def patients(self) -> list[PatientId]:
        """Return all patients, ordered by id."""
        return sorted(PatientId(id_) for kind, id_ in self._versions if kind == "Patient")

    def by_identifier(self, system: str, value: str) -> PatientId | None:
        """Find a patient by business identifier; None when two patients share it."""
        found = [p for s, v, p in self._identifiers if (s, v) == (system, value)]
        return found[0] if len(found) == 1 else None

    def counts(self) -> Mapping[str, int]:
        """Return the number of resources by type."""
        return Counter(kind for kind, _ in sorted(self._versions))

    def pseudonym_key(self, patient: PatientId) -> bytes:
        """Return the patient's pseudonym key, 32 bytes."""
        if patient not in self._keys:
            raise NotFound("patient", what="patient")
        return self._keys[patient]

    def _put(self, resource: JsonObject, patient: PatientId) -> tuple[str, str, int]:
        kind, id_ = str(resource["resourceType"]), str(resource["id"])
        versions = self._versions.setdefault((kind, id_), [])
        version = len(versions) + 1
        versions.append(StoredResource(kind, id_, version, patient, deepcopy(resource)))
        if patient not in self._keys:
            self._keys[patient] = self._randomness.draw(32)
        if kind == "Patient":
            self._identifiers = {one for one in self._identifiers if one[2] != patient}
            self._identifiers |= {
                (identifier.get("system", ""), identifier["value"], patient)
                for identifier in resource.get("identifier", [])
                if "value" in identifier
            }
        return kind, id_, version


class MemoryAccessLog:
    """A `ports.AccessLog` in memory."""

    def __init__(self) -> None:
        self._records: list[AccessRecord] = []
        self._tree = CompactRange()

    async def append(self, records: Sequence[AccessRecord]) -> int:
        """Add records; return the size of the log."""
        try:
            leaves = [
                leaf_hash(
                    encode_record(r.time_ms, who=r.who, action=r.action, what=r.what, why=r.why)
                )
                for r in records
            ]
        except ValueError as error:
            raise InternalFault("access_record") from error
        for record, leaf in zip(records, leaves, strict=True):
            self._records.append(record)
            self._tree.append(leaf)
        return len(self._records)

    def size(self) -> int:
        """Return the number of records."""
        return len(self._records)

    def root(self) -> Digest:
        """Return the RFC 6962 root over all records."""
        return Digest(self._tree.root().hex())

    def records(self, start: int, limit: int) -> list[AccessRecord]:
        """Return up to `limit` records from number `start`."""
        return self._records[start : start + limit]
