"""A hospital's health records in SQLite, encrypted twice over, and their keys in a file beside.

`records.db`: pages encrypted under the page key, and each body under its patient's key with its
place as authenticated data. `keys.db`: the key table (`sqlite_keys.py`). Deleting a patient's line
there makes every copy of their bodies unreadable; so it is left out of data backups. Both files
hold the erasure list, and one that lacks a line of it deletes again before anything is served.

Nonces are drawn from the operating system for each row, 96 bits, and depend on nothing that is
stored: a second process, a fork, a restart or a restored backup cannot bring one back. By SP
800-38D §8.3 a key takes 2^32 of them; a patient has not that many rows.

This module does NOT search inside bodies, and does NOT turn epochs.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import apsw

from concura.adapters.folders import disk
from concura.adapters.sqlite import Database, scalar
from concura.adapters.sqlite_keys import SqliteKeyTable
from concura.errors import KeyUnavailable, NotFound, ResourceInvalid, StoreCorrupt
from concura.ports import KeyStore, Randomness, StoredResource
from concura.records import check_resource, patient_of
from concura.sealing import Erasure, PatientKeys
from concura.sealing.rows import NONCE_BYTES, open_row, seal_row, token
from concura.sealing.suite import AES, Suite
from concura.types import JsonObject, PatientId

__all__ = ["SqliteRecords"]

_STORE = "records"
_VERSION = 2  # of the tables

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
    """CREATE TABLE erasures (
        patient BLOB, generation INTEGER, time_ms INTEGER NOT NULL,
        PRIMARY KEY (patient, generation)) WITHOUT ROWID""",
)
# CAST: a text that someone put there must fail the decryption, not the reading.
_NEWEST = """
    SELECT h.type, h.id, h.version, h.patient, CAST(r.body AS BLOB)
    FROM heads h JOIN resources r
    ON r.patient = h.patient AND r.type = h.type AND r.id = h.id AND r.version = h.version"""


class SqliteRecords:
    """Implements `ports.RecordStore`.

    Args:
        folder: for `records.db` and `keys.db`; made with mode 700 where it is missing.
        keystore: opens and wraps the epoch key.
        randomness: for keys and nonces.
        suite: the consortium's; of rows and tokens.

    Raises:
        KeyUnavailable: the key table is missing, or was wrapped by another key store.
        StoreCorrupt, FolderFormat, FolderUnusable: see `sqlite.Database`.

    Example:
        >>> store = SqliteRecords(folder, keystore, randomness)  # doctest: +SKIP
        >>> store.patients()  # doctest: +SKIP
        []
    """

    def __init__(
        self,
        folder: Path,
        keystore: KeyStore,
        randomness: Randomness,
        *,
        suite: Suite = AES,
    ) -> None:
        self._randomness, self._suite = randomness, suite
        records, keys = folder / "records.db", folder / "keys.db"
        with disk(folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # A fresh table beside old records could never open them, only hide that they are there.
            if records.exists() and not keys.exists():
                raise KeyUnavailable("table", file=str(keys))
        self.table = SqliteKeyTable(keys, keystore, randomness, suite=suite)
        try:
            self._token_key = self.table.store_key("tokens")
            page_key = self.table.store_key("pages")
            self._records = Database(records, schema=_RECORDS, version=_VERSION, key=page_key)
        except BaseException:
            self.table.close()
            raise
        try:
            self._agree()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Finish the waiting writes and close both files."""
        self._records.close()
        self.table.close()

    @property
    def file(self) -> Database:
        """The file of the records, for copies of it."""
        return self._records

    async def put(self, resources: Sequence[JsonObject]) -> list[tuple[str, str, int]]:
        """Store resources, all or none, each as a new version.

        Args:
            resources: FHIR resources; a resource's Patient must be stored before or with it.

        Returns:
            Type, id and version of each, once they are on the disk.

        Raises:
            ResourceInvalid: one of them fails the check, or its id belongs to another patient.
            KeyUnavailable: `erased`: one of the patients was erased meanwhile.
            StoreFull: there was no room; nothing was stored.
        """
        checked = [(check_resource(r), patient_of(r), _to_bytes(r)) for r in resources]
        # Keys first: a body on the disk whose key was lost would be lost with it.
        await self.table.make({patient for _, patient, _ in checked})
        keys = {patient: self._keys_of(patient) for _, patient, _ in checked}

        def job(db: apsw.Connection) -> list[tuple[str, str, int]]:
            for patient, opened in keys.items():
                self._check_alive(db, patient, opened)
            placed = [self._put(db, *one, self._row_key(keys[one[1]])) for one in checked]
            for patient in keys:
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

    # Erasure ----------------------------------------------------------------------------------

    def erase(self, patient: PatientId, *, now_ms: int) -> Erasure:
        """Delete a patient's keys, rows and index rows, for good; blocks until it is on the disk.

        Args:
            patient: whose.
            now_ms: the time.

        Returns:
            The line of the erasure list. Killed at any moment, the next opening does the rest.

        Raises:
            NotFound: no such patient was ever here.
        """
        # The key first: from here on, the rows are noise in every copy of them.
        erasure = self.table.erase(patient, now_ms=now_ms)
        self._records.write_now(lambda db: self._forget(db, erasure, patient))
        self._records.checkpoint()
        return erasure

    def replay(self, erasures: Iterable[Erasure], *, now_ms: int) -> None:
        """Erase again what was erased when these files were somewhere else.

        Args:
            erasures: such as those of receipts.
            now_ms: the time.
        """
        self.table.replay(erasures, now_ms=now_ms)
        self._agree()

    def _agree(self) -> None:
        """Bring both erasure lists to the same state; a file from a backup may lack some lines."""
        ours = {Erasure(*line) for line in self._records.read("SELECT * FROM erasures")}
        theirs = set(self.table.erasures())
        if missing := ours - theirs:
            self.table.replay(missing, now_ms=max(one.time_ms for one in missing))
        if missing := theirs - ours:
            self._delete_again(missing)

    def _delete_again(self, erasures: set[Erasure]) -> None:
        by_token = {self.table.patient_token(p): p for p in self._all_patients()}

        def job(db: apsw.Connection) -> None:
            for erasure in erasures:
                self._forget(db, erasure, by_token.get(erasure.patient))

        self._records.write_now(job)
        self._records.checkpoint()

    def _all_patients(self) -> list[PatientId]:
        return [
            PatientId(row[0]) for row in self._records.read("SELECT DISTINCT patient FROM heads")
        ]

    def _forget(self, db: apsw.Connection, erasure: Erasure, patient: PatientId | None) -> None:
        line = (erasure.patient, erasure.generation, erasure.time_ms)
        db.execute("INSERT OR IGNORE INTO erasures VALUES (?, ?, ?)", line)
        if patient is None:
            return
        back = self.table.patient_keys(patient)
        if back is not None and back.generation > erasure.generation:
            self._forget_unreadable(db, patient, back)
            return
        for table in ("resources", "heads", "identifiers"):
            db.execute(f"DELETE FROM {table} WHERE patient = ?", (patient,))  # noqa: S608 - our own names

    def _forget_unreadable(
        self, db: apsw.Connection, patient: PatientId, keys: PatientKeys
    ) -> None:
        """Keep, of a patient who came back after an erasure, what their present keys open."""
        rows: list[Any] = db.execute(
            """SELECT type, id, version, CAST(body AS BLOB) FROM resources WHERE patient = ?
            ORDER BY version""",
            (patient,),
        ).fetchall()
        newest: dict[tuple[str, str], tuple[int, bytes]] = {}
        for kind, id_, version, sealed in rows:
            place = (patient, kind, id_, version)
            try:
                body = open_row(
                    sealed,
                    key=self._row_key(keys),
                    store=_STORE,
                    kind=kind,
                    id=id_,
                    version=version,
                    suite=self._suite,
                )
            except StoreCorrupt:
                db.execute(
                    "DELETE FROM resources WHERE (patient, type, id, version) = (?, ?, ?, ?)", place
                )
            else:
                newest[kind, id_] = (version, body)
        for table in ("heads", "identifiers"):
            db.execute(f"DELETE FROM {table} WHERE patient = ?", (patient,))  # noqa: S608 - our own names
        for (kind, id_), (version, body) in newest.items():
            db.execute("INSERT INTO heads VALUES (?, ?, ?, ?)", (kind, id_, version, patient))
            if kind == "Patient":
                self._put_identifiers(db, _from_bytes(body), patient)

    def _check_alive(self, db: apsw.Connection, patient: PatientId, keys: PatientKeys) -> None:
        # Another process may have erased the patient after their keys were read here: a row that
        # is written now would stay, unreadable, with its index rows.
        gone = scalar(
            db,
            "SELECT 1 FROM erasures WHERE patient = ? AND generation >= ?",
            (self.table.patient_token(patient), keys.generation),
        )
        if gone:
            raise KeyUnavailable("erased")

    def _put(
        self, db: apsw.Connection, resource: JsonObject, patient: PatientId, body: bytes, key: bytes
    ) -> tuple[str, str, int]:
        kind, id_ = str(resource["resourceType"]), str(resource["id"])
        owner = scalar(db, "SELECT patient FROM heads WHERE type = ? AND id = ?", (kind, id_))
        if owner not in (None, patient):
            raise ResourceInvalid("other_patient", path=f"{kind}.id")
        version = _version(db, kind, id_) + 1
        sealed = seal_row(
            body,
            key=key,
            nonce=self._randomness.draw(NONCE_BYTES),
            store=_STORE,
            kind=kind,
            id=id_,
            version=version,
            suite=self._suite,
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
            body = open_row(
                sealed,
                key=self._row_key(self._keys_of(PatientId(patient))),
                store=_STORE,
                kind=kind,
                id=id_,
                version=version,
                suite=self._suite,
            )
            opened.append(StoredResource(kind, id_, version, PatientId(patient), _from_bytes(body)))
        return opened

    def _token(self, system: str, value: str) -> bytes:
        key = self._token_key[: self._suite.key_bytes]
        return token(key, "identifier", system, value, suite=self._suite)

    def _row_key(self, keys: PatientKeys) -> bytes:
        # A key of 32 bytes in the key table serves either suite: SM4 takes the first 16.
        return keys.data[: self._suite.key_bytes]

    def _keys_of(self, patient: PatientId) -> PatientKeys:
        found = self.table.patient_keys(patient)
        if found is None:
            raise NotFound("patient", what="patient")
        return found

    def _store_key(self, name: str) -> bytes:
        return self.table.store_key(name)


def _version(db: apsw.Connection, kind: str, id_: str) -> int:
    return scalar(db, "SELECT version FROM heads WHERE type = ? AND id = ?", (kind, id_)) or 0


def _to_bytes(resource: JsonObject) -> bytes:
    text = json.dumps(resource, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8")


def _from_bytes(body: bytes) -> JsonObject:
    value: Any = json.loads(body)
    assert isinstance(value, dict)  # authenticated: it is what `put` wrote
    return value
