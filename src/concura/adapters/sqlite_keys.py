"""The key table: wrapped keys of patients and of the store itself, in one SQLite file.

A patient's line holds their two keys wrapped under an epoch's key, and that one is wrapped under
the key store's root. `rotate` begins an epoch; `rewrap` brings every line into it, a batch at a
time, and then destroys the older epochs. Both may run while other processes read and write: each
line says its epoch, so all are readable at every moment, and a kill loses one batch at most.
`erase` deletes a patient's line; copies of the table are made and put back by `key_copies.py`.

The file lies beside the data and outside its backups: whoever deletes a line here has made every
copy of that patient's rows unreadable. Wrapping takes no nonce (`sealing.hierarchy`).

This module does NOT know rows, and does NOT decide when to rotate.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw

from concura.adapters.sqlite import Database, scalar
from concura.errors import FolderFormat, NotFound, StoreCorrupt
from concura.ports import KeyStore, Randomness
from concura.sealing import (
    Erasure,
    PatientKeys,
    token,
    unwrap_patient_keys,
    unwrap_store_key,
    wrap_patient_keys,
    wrap_store_key,
)
from concura.sealing.suite import AES, Suite
from concura.types import PatientId

__all__ = ["KeyTableState", "SqliteKeyTable"]

_log = logging.getLogger(__name__)

_VERSION = 2  # of the tables
_KEY_BYTES = 32
_OPENED_MAX = 100_000  # patients whose keys are kept opened: about 40 MB
_BATCH = 1_000  # lines in one transaction of `rewrap`: about 10 ms in which others' writes wait

_SCHEMA = (
    "CREATE TABLE epochs (epoch INTEGER PRIMARY KEY, wrapped BLOB NOT NULL)",
    """CREATE TABLE store_keys (
        name TEXT PRIMARY KEY, epoch INTEGER NOT NULL, wrapped BLOB NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE patient_keys (
        patient BLOB PRIMARY KEY, generation INTEGER NOT NULL, epoch INTEGER NOT NULL,
        wrapped BLOB NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE erasures (
        patient BLOB, generation INTEGER, time_ms INTEGER NOT NULL,
        PRIMARY KEY (patient, generation)) WITHOUT ROWID""",
    # `cursor`: how far the rewrap into `target` is; `turn`: counts what opened keys must not
    # outlive; `due_ms`: when epochs up to `due_epoch` must be gone, because of an erasure;
    # `copied_ms`: in a copy, when it was made.
    "CREATE TABLE state (name TEXT PRIMARY KEY, value) WITHOUT ROWID",
    "CREATE TABLE copies (place TEXT PRIMARY KEY, made_ms INTEGER NOT NULL) WITHOUT ROWID",
)
# One statement, so that a line and its epoch are of one moment. CAST: see sqlite_records.
_LINE = """
    SELECT k.generation, k.epoch, CAST(k.wrapped AS BLOB), e.wrapped,
        EXISTS (SELECT 1 FROM erasures x WHERE x.patient = k.patient
            AND x.generation >= k.generation)
    FROM patient_keys k LEFT JOIN epochs e ON e.epoch = k.epoch WHERE k.patient = ?"""


@dataclass(frozen=True, slots=True)
class KeyTableState:
    """How the table stands.

    Args:
        epoch: the newest.
        epochs: how many there are; more than one until a rewrap is done.
        patients: lines of patients.
        pending: lines that are still under an older epoch.
        erased: lines of the erasure list.
        due_ms: when every epoch that an erased patient's keys were wrapped under must be gone, or
            None.
        needs_epoch: that takes a new epoch, which has not begun yet.
    """

    epoch: int
    epochs: int
    patients: int
    pending: int
    erased: int
    due_ms: int | None
    needs_epoch: bool


class SqliteKeyTable:
    """One key table.

    Args:
        path: the file; made where it is missing.
        keystore: wraps and opens epoch keys.
        randomness: for keys.
        suite: the consortium's.

    Raises:
        KeyUnavailable: it was wrapped by another key store, or under another suite.
        StoreCorrupt, FolderFormat, FolderUnusable: see `sqlite.Database`.

    Example:
        >>> table = SqliteKeyTable(path, keystore, randomness)  # doctest: +SKIP
        >>> len(table.store_key("pages"))  # doctest: +SKIP
        32
    """

    def __init__(
        self, path: Path, keystore: KeyStore, randomness: Randomness, *, suite: Suite = AES
    ) -> None:
        self.path, self._suite = path, suite
        self._keystore, self._randomness = keystore, randomness
        self._file = Database(path, schema=_SCHEMA, version=_VERSION)
        self._opened: dict[PatientId, PatientKeys] = {}
        self._epochs: dict[int, bytes] = {}
        self._seen = self._turn = -1
        try:
            self._check_version()
            self._begin()
            self._token_key = self.store_key("tokens")
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Finish the waiting writes and close the file."""
        self._file.close()

    @property
    def file(self) -> Database:
        """The file itself, for copies of it."""
        return self._file

    # Reading and making ---------------------------------------------------------------------------

    def store_key(self, name: str) -> bytes:
        """Return a key of the store itself, 32 bytes; drawn when it is asked for first.

        Raises:
            KeyUnavailable, StoreCorrupt: its line was changed or swapped.
        """
        key = self._read_store_key(name)
        if key is not None:
            return key
        fresh = self._randomness.draw(_KEY_BYTES)

        def job(db: apsw.Connection) -> None:
            epoch, epoch_key = self._newest(db)
            wrapped = wrap_store_key(epoch_key, fresh, epoch=epoch, name=name, suite=self._suite)
            # Another process may have made it meanwhile: then that one stays.
            db.execute("INSERT OR IGNORE INTO store_keys VALUES (?, ?, ?)", (name, epoch, wrapped))

        self._file.write_now(job)
        key = self._read_store_key(name)
        if key is None:
            raise StoreCorrupt(file=str(self.path), detail="store_keys")
        return key

    def patient_token(self, patient: PatientId) -> bytes:
        """Return what stands for a patient in the table, 32 bytes."""
        key = self._token_key[: self._suite.key_bytes]
        return token(key, "patient", patient, suite=self._suite)

    def patient_keys(self, patient: PatientId) -> PatientKeys | None:
        """Return a patient's keys, or None: never made, or erased.

        Raises:
            KeyUnavailable, StoreCorrupt: their line was changed, swapped or rolled back.
        """
        self._follow()
        found = self._opened.get(patient)
        if found is not None:
            return found
        turn, name = self._turn, self.patient_token(patient)
        rows = self._file.read(_LINE, name)
        # A line that the erasure list names was put back by someone.
        if not rows or rows[0][4]:
            return None
        generation, epoch, wrapped, epoch_wrapped, _ = rows[0]
        found = unwrap_patient_keys(
            self._unwrapped(epoch, epoch_wrapped),
            wrapped,
            epoch=epoch,
            patient=name,
            generation=generation,
            suite=self._suite,
        )
        if len(self._opened) >= _OPENED_MAX:
            self._opened.clear()  # reading them again costs microseconds
        if self._turn == turn:  # else another thread saw an erasure since the line was read
            self._opened[patient] = found
        return found

    async def make(self, patients: Iterable[PatientId]) -> None:
        """Draw keys for those of these patients who have none. Durable when it returns."""
        missing = [p for p in patients if self.patient_keys(p) is None]
        if missing:
            await self._file.write(lambda db: self._make(db, missing))

    def _make(self, db: apsw.Connection, patients: list[PatientId]) -> None:
        # The newest epoch is read here, inside the transaction: no line can come in under an epoch
        # that a rewrap in another process has already been through.
        epoch, epoch_key = self._newest(db)
        for patient in map(self.patient_token, patients):
            last = scalar(db, "SELECT max(generation) FROM erasures WHERE patient = ?", (patient,))
            found = scalar(db, "SELECT generation FROM patient_keys WHERE patient = ?", (patient,))
            if (found or 0) > (last or 0):
                continue  # another call made them meanwhile
            fresh = self._randomness.draw(2 * _KEY_BYTES)
            keys = PatientKeys((last or 0) + 1, fresh[:_KEY_BYTES], fresh[_KEY_BYTES:])
            wrapped = wrap_patient_keys(
                epoch_key, keys, epoch=epoch, patient=patient, suite=self._suite
            )
            db.execute(
                "INSERT OR REPLACE INTO patient_keys VALUES (?, ?, ?, ?)",
                (patient, keys.generation, epoch, wrapped),
            )

    def state(self) -> KeyTableState:
        """Return how the table stands; counts its lines."""
        counts = self._file.read(
            """SELECT (SELECT max(epoch) FROM epochs), (SELECT count(*) FROM epochs),
            (SELECT count(*) FROM patient_keys), (SELECT count(*) FROM patient_keys
                WHERE epoch < (SELECT max(epoch) FROM epochs)), (SELECT count(*) FROM erasures),
            (SELECT value FROM state WHERE name = 'due_ms'),
            (SELECT value FROM state WHERE name = 'due_epoch')"""
        )[0]
        epoch, epochs, patients, pending, erased, due_ms, due_epoch = counts
        return KeyTableState(
            epoch, epochs, patients, pending, erased, due_ms, needs_epoch=due_epoch == epoch
        )

    # Epochs ---------------------------------------------------------------------------------------

    def rotate(self) -> int:
        """Begin an epoch: new lines are wrapped under its key. Return its number."""
        key = self._randomness.draw(_KEY_BYTES)
        wrapped = self._keystore.wrap_aes(key)

        def job(db: apsw.Connection) -> int:
            epoch = int(scalar(db, "SELECT max(epoch) FROM epochs")) + 1
            db.execute("INSERT INTO epochs VALUES (?, ?)", (epoch, wrapped))
            return epoch

        epoch = int(self._file.write_now(job))
        _log.info("epoch begun: epoch=%d", epoch)
        return epoch

    def rewrap(
        self, *, advance: Callable[[int], None] = lambda _: None, batch: int = _BATCH
    ) -> int:
        """Bring every line into the newest epoch and destroy the older ones.

        Killed at any moment, it goes on where it was when it is called again. Lines that are made
        meanwhile are in the newest epoch already; one that begins meanwhile is taken as the target.

        Args:
            advance: told how many lines each batch looked at.
            batch: lines in one transaction.

        Returns:
            How many lines it wrapped anew.

        Raises:
            KeyUnavailable, StoreCorrupt: a line was changed; the older epochs stay until it is
                restored or erased.
        """
        total: int = 0
        while True:
            looked, moved, is_done = self._file.write_now(lambda db: self._rewrap_some(db, batch))
            total += moved
            advance(looked)
            if is_done:
                break
        self._file.checkpoint()
        self._drop()
        _log.info("older epochs destroyed: rewrapped=%d", total)
        return total

    def _rewrap_some(self, db: apsw.Connection, batch: int) -> tuple[int, int, bool]:
        target, key = self._newest(db)
        if scalar(db, "SELECT min(epoch) FROM epochs") == target:
            db.execute("DELETE FROM state WHERE name IN ('cursor', 'target')")
            # A patient who was erased in this very epoch waits for the next one.
            if (scalar(db, "SELECT value FROM state WHERE name = 'due_epoch'") or 0) < target:
                db.execute("DELETE FROM state WHERE name IN ('due_ms', 'due_epoch')")
            return 0, 0, True
        if scalar(db, "SELECT value FROM state WHERE name = 'target'") != target:
            _put_state(db, target=target, cursor=b"")
        cursor = scalar(db, "SELECT value FROM state WHERE name = 'cursor'")
        lines = _rows(
            db,
            """SELECT patient, generation, epoch, CAST(wrapped AS BLOB) FROM patient_keys
            WHERE patient > ? ORDER BY patient LIMIT ?""",
            (cursor, batch),
        )
        old = [line for line in lines if line[2] < target]
        moved = []
        for patient, generation, epoch, wrapped in old:
            keys = unwrap_patient_keys(
                self._epoch_key(db, epoch),
                wrapped,
                epoch=epoch,
                patient=patient,
                generation=generation,
                suite=self._suite,
            )
            again = wrap_patient_keys(key, keys, epoch=target, patient=patient, suite=self._suite)
            moved.append((target, again, patient))
        db.executemany("UPDATE patient_keys SET epoch = ?, wrapped = ? WHERE patient = ?", moved)
        if lines:
            _put_state(db, cursor=lines[-1][0])
        else:
            self._end_epochs(db, target, key)
        return len(lines), len(moved), False

    def _end_epochs(self, db: apsw.Connection, target: int, key: bytes) -> None:
        """Take the store's own keys along and delete the older epochs, if nothing needs them."""
        for name, epoch, wrapped in _rows(
            db,
            "SELECT name, epoch, CAST(wrapped AS BLOB) FROM store_keys WHERE epoch < ?",
            (target,),
        ):
            plain = unwrap_store_key(
                self._epoch_key(db, epoch), wrapped, epoch=epoch, name=name, suite=self._suite
            )
            again = wrap_store_key(key, plain, epoch=target, name=name, suite=self._suite)
            db.execute(
                "UPDATE store_keys SET epoch = ?, wrapped = ? WHERE name = ?", (target, again, name)
            )
        if scalar(db, "SELECT count(*) FROM patient_keys WHERE epoch < ?", (target,)):
            _put_state(db, cursor=b"")  # lines that were put back by hand: through them again
            return
        db.execute("DELETE FROM epochs WHERE epoch < ?", (target,))
        _turn(db)

    # Erasure --------------------------------------------------------------------------------------

    def erase(self, patient: PatientId, *, now_ms: int) -> Erasure:
        """Delete a patient's keys, for good. Durable, and out of the file, when it returns.

        Args:
            patient: whose.
            now_ms: the time.

        Returns:
            The line of the erasure list; that of the last time, if they were erased already.

        Raises:
            NotFound: no such patient was ever here.
        """
        name = self.patient_token(patient)

        def job(db: apsw.Connection) -> Erasure:
            found = scalar(db, "SELECT generation FROM patient_keys WHERE patient = ?", (name,))
            last = _rows(
                db,
                "SELECT * FROM erasures WHERE patient = ? ORDER BY generation DESC LIMIT 1",
                (name,),
            )
            if last and (found or 0) <= last[0][1]:
                erasure = Erasure(*last[0])
            elif found is None:
                raise NotFound("patient", what="patient")
            else:
                erasure = Erasure(name, found, now_ms)
            _erase(db, [erasure], now_ms)
            return erasure

        erasure: Erasure = self._file.write_now(job)
        # A call that was killed before this point is made good by the next one.
        self._file.checkpoint()
        _log.info("patient erased: generation=%d", erasure.generation)
        return erasure

    def erasures(self) -> list[Erasure]:
        """Return the erasure list."""
        return [Erasure(*line) for line in self._file.read("SELECT * FROM erasures")]

    def replay(self, erasures: Iterable[Erasure], *, now_ms: int) -> None:
        """Erase again what was erased when this table was somewhere else.

        Args:
            erasures: lines of another erasure list, or of receipts.
            now_ms: the time; what is deleted only now is due for a rewrap from now on.
        """
        lines = list(erasures)
        if lines:
            self._file.write_now(lambda db: _erase(db, lines, now_ms))
            self._file.checkpoint()

    # Opened keys ----------------------------------------------------------------------------------

    def _check_version(self) -> None:
        found = self._file.read_value("PRAGMA user_version")
        if found != _VERSION:
            raise FolderFormat("old", folder=str(self.path), found=found, known=_VERSION)

    def _begin(self) -> None:
        if self._file.read_value("SELECT max(epoch) FROM epochs") is None:
            wrapped = self._keystore.wrap_aes(self._randomness.draw(_KEY_BYTES))
            first = "INSERT OR IGNORE INTO epochs VALUES (1, ?)"  # or another process's stays
            self._file.write_now(lambda db: db.execute(first, (wrapped,)) and None)
        for epoch, wrapped in self._file.read("SELECT epoch, wrapped FROM epochs"):
            self._epochs[epoch] = self._keystore.unwrap_aes(wrapped)

    def _follow(self) -> None:
        """Forget opened keys when another connection erased a patient or ended an epoch."""
        seen = self._file.read_value("PRAGMA data_version")
        if seen == self._seen:
            return
        turn = self._file.read_value("SELECT value FROM state WHERE name = 'turn'")
        if turn != self._turn:
            self._drop()
        self._seen, self._turn = seen, turn

    def _drop(self) -> None:
        self._opened.clear()
        self._epochs.clear()

    def _read_store_key(self, name: str) -> bytes | None:
        rows = self._file.read(
            """SELECT k.epoch, CAST(k.wrapped AS BLOB), e.wrapped FROM store_keys k
            LEFT JOIN epochs e ON e.epoch = k.epoch WHERE k.name = ?""",
            name,
        )
        if not rows:
            return None
        epoch, wrapped, epoch_wrapped = rows[0]
        return unwrap_store_key(
            self._unwrapped(epoch, epoch_wrapped),
            wrapped,
            epoch=epoch,
            name=name,
            suite=self._suite,
        )

    def _newest(self, db: apsw.Connection) -> tuple[int, bytes]:
        epoch = int(scalar(db, "SELECT max(epoch) FROM epochs"))
        return epoch, self._epoch_key(db, epoch)

    def _epoch_key(self, db: apsw.Connection, epoch: int) -> bytes:
        wrapped = scalar(db, "SELECT wrapped FROM epochs WHERE epoch = ?", (epoch,))
        return self._unwrapped(epoch, wrapped)

    def _unwrapped(self, epoch: int, wrapped: bytes | None) -> bytes:
        if wrapped is None:  # a line that was rolled back to an epoch that is over
            raise StoreCorrupt("row", file=str(self.path), detail="epoch")
        key = self._epochs.get(epoch)
        if key is None:
            key = self._epochs[epoch] = self._keystore.unwrap_aes(wrapped)
        return key


def _rows(db: apsw.Connection, sql: str, values: Sequence[Any]) -> list[Any]:
    return db.execute(sql, values).fetchall()


def _erase(db: apsw.Connection, erasures: list[Erasure], now_ms: int) -> None:
    before = db.total_changes()
    for one in erasures:
        line = (one.patient, one.generation)
        db.execute("DELETE FROM patient_keys WHERE patient = ? AND generation <= ?", line)
    if db.total_changes() != before:
        due = max(now_ms, min(one.rewrap_ms for one in erasures))
        known = scalar(db, "SELECT value FROM state WHERE name = 'due_ms'")
        epoch = int(scalar(db, "SELECT max(epoch) FROM epochs"))
        _put_state(db, due_ms=due if known is None else min(known, due), due_epoch=epoch)
    for one in erasures:
        line_ms = (one.patient, one.generation, one.time_ms)
        db.execute("INSERT OR IGNORE INTO erasures VALUES (?, ?, ?)", line_ms)
    _turn(db)


def _turn(db: apsw.Connection) -> None:
    db.execute(
        """INSERT INTO state VALUES ('turn', 1)
        ON CONFLICT (name) DO UPDATE SET value = value + 1"""
    )


def _put_state(db: apsw.Connection, **values: int | bytes) -> None:
    db.executemany("INSERT OR REPLACE INTO state VALUES (?, ?)", list(values.items()))
