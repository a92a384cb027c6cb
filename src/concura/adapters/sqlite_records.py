"""A hospital's health records in SQLite, encrypted twice over, and their keys in a file beside.

`records.db`: pages encrypted under the page key, and each body under its patient's key with its
place as authenticated data. `keys.db`: patients' keys, the page key and the token key, wrapped
under an epoch key, and that under the key store's root (PROTOCOLS §4). Deleting a patient's line
there makes every copy of their bodies unreadable; so it is left out of data backups.

This module does NOT search inside bodies, and does NOT erase or turn epochs.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw

from concura.adapters.folders import disk
from concura.adapters.sqlite import Database, scalar
from concura.errors import KeyUnavailable, NotFound, ResourceInvalid, StoreCorrupt
from concura.ports import KeyStore, Randomness, StoredResource
from concura.records import check_resource, patient_of
from concura.sealing.rows import NONCE_BYTES, open_row, seal_row, token, unwrap_key, wrap_key
from concura.types import JsonObject, PatientId

__all__ = ["SqliteRecords"]

_KEY_BYTES = 32
_STORE = "records"
_EPOCH = 1  # keys are wrapped anew under a second epoch when a patient is erased

_KEYS = (
    "CREATE TABLE epochs (epoch INTEGER PRIMARY KEY, wrapped BLOB NOT NULL)",
    """CREATE TABLE store_keys (
        name TEXT PRIMARY KEY, epoch INTEGER NOT NULL, wrapped BLOB NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE patient_keys (
        patient BLOB PRIMARY KEY, epoch INTEGER NOT NULL, data BLOB NOT NULL,
        pseudonym BLOB NOT NULL) WITHOUT ROWID""",
)
# One patient's rows lie together: a whole record is read from neighbouring pages.
_RECORDS = (
    """CREATE TABLE resources (
        patient TEXT, type TEXT, id TEXT, version INTEGER, body BLOB NOT NULL,
        PRIMARY KEY (patient, type, id, version)) WITHOUT ROWID""",
    """CREATE TABLE heads (
        type TEXT, id TEXT, version INTEGER NOT NULL, patient TEXT NOT NULL,
        PRIMARY KEY (type, id)) WITHOUT ROWID""",
    "CREATE INDEX heads_of_patient ON heads (patient)",
    """CREATE TABLE identifiers (
        token BLOB, patient TEXT, PRIMARY KEY (token, patient)) WITHOUT ROWID""",
    "CREATE INDEX identifiers_of_patient ON identifiers (patient)",
)
# CAST: a text that someone put there must fail the decryption, not the reading.
_NEWEST = """
    SELECT h.type, h.id, h.version, h.patient, CAST(r.body AS BLOB)
    FROM heads h JOIN resources r
    ON r.patient = h.patient AND r.type = h.type AND r.id = h.id AND r.version = h.version"""


@dataclass(frozen=True, slots=True)
class _Keys:
    """One patient's keys, opened."""

    data: bytes
    pseudonym: bytes


class SqliteRecords:
    """Implements `ports.RecordStore`.

    Args:
        folder: for `records.db` and `keys.db`; made with mode 700 where it is missing.
        keystore: opens and wraps the epoch key.
        randomness: for keys and nonces.

    Raises:
        KeyUnavailable: the key table is missing, or was wrapped by another key store.
        StoreCorrupt, FolderFormat, FolderUnusable: see `sqlite.Database`.

    Example:
        >>> store = SqliteRecords(folder, keystore, randomness)  # doctest: +SKIP
        >>> store.patients()  # doctest: +SKIP
        []
    """

    def __init__(self, folder: Path, keystore: KeyStore, randomness: Randomness) -> None:
        self._randomness = randomness
        records, keys = folder / "records.db", folder / "keys.db"
        with disk(folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # A fresh table beside old records could never open them, only hide that they are there.
            if records.exists() and not keys.exists():
                raise KeyUnavailable("table", file=str(keys))
        self._table = Database(keys, schema=_KEYS)
        try:
            self._epoch_key = self._open_epoch(keystore)
            self._token_key = self._store_key("tokens")
            self._records = Database(records, schema=_RECORDS, key=self._store_key("pages"))
        except BaseException:
            self._table.close()
            raise
        self._opened: dict[PatientId, _Keys] = {}

    def close(self) -> None:
        """Finish the waiting writes and close both files."""
        self._records.close()
        self._table.close()

    async def put(self, resources: Sequence[JsonObject]) -> list[tuple[str, str, int]]:
        """Store resources, all or none, each as a new version.

        Args:
            resources: FHIR resources; a resource's Patient must be stored before or with it.

        Returns:
            Type, id and version of each, once they are on the disk.

        Raises:
            ResourceInvalid: one of them fails the check, or its id belongs to another patient.
            StoreFull: there was no room; nothing was stored.
        """
        checked = [(check_resource(r), patient_of(r), _to_bytes(r)) for r in resources]
        # Keys first: a body on the disk whose key was lost would be lost with it.
        await self._make_keys({patient for _, patient, _ in checked})

        def job(db: apsw.Connection) -> list[tuple[str, str, int]]:
            placed = [self._put(db, *one) for one in checked]
            for patient in {patient for _, patient, _ in checked}:
                if not _version(db, "Patient", patient):
                    raise ResourceInvalid("reference", path="subject.reference")
            return placed

        placed: list[tuple[str, str, int]] = await self._records.write(job)
        return placed

    def get(self, resource_type: str, resource_id: str) -> StoredResource | None:
        """Return the newest version, or None. Raises StoreCorrupt for a row tampered with."""
        rows = self._records.read(
            f"{_NEWEST} WHERE h.type = ? AND h.id = ?", resource_type, resource_id
        )
        return self._open(rows)[0] if rows else None

    def of_patient(self, patient: PatientId) -> list[StoredResource]:
        """Return every resource of one patient, newest versions, the Patient first."""
        rows = self._records.read(
            f"{_NEWEST} WHERE h.patient = ? ORDER BY h.type != 'Patient', h.type, h.id", patient
        )
        return self._open(rows)

    def patients(self) -> list[PatientId]:
        """Return all patients, ordered by id."""
        rows = self._records.read("SELECT id FROM heads WHERE type = 'Patient' ORDER BY id")
        return [PatientId(row[0]) for row in rows]

    def by_identifier(self, system: str, value: str) -> PatientId | None:
        """Find a patient by business identifier; None when unknown or when two share it."""
        found = self._records.read(
            "SELECT patient FROM identifiers WHERE token = ?", self._token(system, value)
        )
        # Whoever asks means one person: to guess between two could show the wrong record.
        return PatientId(found[0][0]) if len(found) == 1 else None

    def counts(self) -> Mapping[str, int]:
        """Return the number of resources by type."""
        sql = "SELECT type, count(*) FROM heads GROUP BY type ORDER BY type"
        return dict(self._records.read(sql))

    def pseudonym_key(self, patient: PatientId) -> bytes:
        """Return the patient's pseudonym key, 32 bytes. Raises NotFound."""
        return self._keys_of(patient).pseudonym

    def file_key(self, name: str) -> bytes:
        """Return the key for another file of this node, such as its access log; made once.

        Args:
            name: which file.

        Returns:
            32 bytes, wrapped in the key table like the page key.
        """
        return self._store_key(f"file {name}")

    def _put(
        self, db: apsw.Connection, resource: JsonObject, patient: PatientId, body: bytes
    ) -> tuple[str, str, int]:
        kind, id_ = str(resource["resourceType"]), str(resource["id"])
        owner = scalar(db, "SELECT patient FROM heads WHERE type = ? AND id = ?", (kind, id_))
        if owner not in (None, patient):
            raise ResourceInvalid("other_patient", path=f"{kind}.id")
        version = _version(db, kind, id_) + 1
        sealed = seal_row(
            body,
            key=self._opened[patient].data,
            nonce=self._randomness.draw(NONCE_BYTES),
            store=_STORE,
            kind=kind,
            id=id_,
            version=version,
        )
        db.execute(
            "INSERT INTO resources VALUES (?, ?, ?, ?, ?)", (patient, kind, id_, version, sealed)
        )
        db.execute(
            "INSERT OR REPLACE INTO heads VALUES (?, ?, ?, ?)", (kind, id_, version, patient)
        )
        if kind == "Patient":
            self._put_identifiers(db, resource, patient)
        return kind, id_, version

    def _put_identifiers(
        self, db: apsw.Connection, resource: JsonObject, patient: PatientId
    ) -> None:
        db.execute("DELETE FROM identifiers WHERE patient = ?", (patient,))
        for identifier in resource.get("identifier", []):
            if "value" in identifier:
                value = self._token(identifier.get("system", ""), identifier["value"])
                db.execute("INSERT OR IGNORE INTO identifiers VALUES (?, ?)", (value, patient))

    def _open(self, rows: Iterable[tuple[str, str, int, str, bytes]]) -> list[StoredResource]:
        opened: list[StoredResource] = []
        for kind, id_, version, patient, sealed in rows:
            key = self._keys_of(PatientId(patient)).data
            body = open_row(sealed, key=key, store=_STORE, kind=kind, id=id_, version=version)
            opened.append(StoredResource(kind, id_, version, PatientId(patient), _from_bytes(body)))
        return opened

    def _token(self, system: str, value: str) -> bytes:
        return token(self._token_key, "identifier", system, value)

    # The key table ----------------------------------------------------------------------------

    def _open_epoch(self, keystore: KeyStore) -> bytes:
        sql = "SELECT wrapped FROM epochs WHERE epoch = ?"
        wrapped = self._table.read_value(sql, _EPOCH)
        if wrapped is not None:
            return keystore.unwrap_aes(wrapped)
        key = self._randomness.draw(_KEY_BYTES)
        fresh = keystore.wrap_aes(key)
        self._table.write_now(
            lambda db: db.execute("INSERT INTO epochs VALUES (?, ?)", (_EPOCH, fresh)) and None
        )
        return key

    def _store_key(self, name: str) -> bytes:
        sql = "SELECT wrapped FROM store_keys WHERE name = ?"
        wrapped = self._table.read_value(sql, name)
        if wrapped is not None:
            return unwrap_key(self._epoch_key, wrapped)
        key = self._randomness.draw(_KEY_BYTES)
        row = (name, _EPOCH, wrap_key(self._epoch_key, key))
        self._table.write_now(
            lambda db: db.execute("INSERT INTO store_keys VALUES (?, ?, ?)", row) and None
        )
        return key

    async def _make_keys(self, patients: Iterable[PatientId]) -> None:
        """Open the keys of these patients; make those that are missing, durably."""
        missing = [p for p in patients if p not in self._opened and not self._read_keys(p)]
        if not missing:
            return

        def job(db: apsw.Connection) -> None:
            for patient in missing:
                fresh = (self._randomness.draw(_KEY_BYTES), self._randomness.draw(_KEY_BYTES))
                row = (wrap_key(self._epoch_key, fresh[0]), wrap_key(self._epoch_key, fresh[1]))
                # Another call may have made them meanwhile: then those stay, and are read below.
                db.execute(
                    "INSERT OR IGNORE INTO patient_keys VALUES (?, ?, ?, ?)",
                    (self._patient_token(patient), _EPOCH, *row),
                )

        await self._table.write(job)
        for patient in missing:
            if not self._read_keys(patient):
                raise StoreCorrupt(file=str(self._table.path), detail="patient_keys")

    def _keys_of(self, patient: PatientId) -> _Keys:
        if patient not in self._opened and not self._read_keys(patient):
            raise NotFound("patient", what="patient")
        return self._opened[patient]

    def _read_keys(self, patient: PatientId) -> bool:
        """Open a patient's keys from the table; return whether they are there."""
        rows = self._table.read(
            "SELECT data, pseudonym FROM patient_keys WHERE patient = ?",
            self._patient_token(patient),
        )
        for data, pseudonym in rows:
            self._opened[patient] = _Keys(
                unwrap_key(self._epoch_key, data), unwrap_key(self._epoch_key, pseudonym)
            )
        return bool(rows)

    def _patient_token(self, patient: PatientId) -> bytes:
        return token(self._token_key, "patient", patient)


def _version(db: apsw.Connection, kind: str, id_: str) -> int:
    return scalar(db, "SELECT version FROM heads WHERE type = ? AND id = ?", (kind, id_)) or 0


def _to_bytes(resource: JsonObject) -> bytes:
    text = json.dumps(resource, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8")


def _from_bytes(body: bytes) -> JsonObject:
    value: Any = json.loads(body)
    assert isinstance(value, dict)  # authenticated: it is what `put` wrote
    return value
