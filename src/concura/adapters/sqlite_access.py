"""A node's access log in one SQLite file: an RFC 6962 log with group commit (PROTOCOLS §6).

Each record and the tree over all of them are written in one transaction, so the root never knows
more or less than the table. Pages are encrypted. Opening the file computes the tree again.

This module does NOT anchor roots on the ledger and does NOT render AuditEvents.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import apsw

from concura.adapters.sqlite import Database
from concura.errors import InternalFault, StoreCorrupt
from concura.ledger.access_log import decode_record, encode_record
from concura.ledger.merkle import CompactRange, leaf_hash
from concura.ports import AccessRecord
from concura.types import Digest

__all__ = ["SqliteAccessLog"]

_SCHEMA = (
    "CREATE TABLE records (number INTEGER PRIMARY KEY, data BLOB NOT NULL)",
    """CREATE TABLE tree (
        one INTEGER PRIMARY KEY CHECK (one = 1), size INTEGER NOT NULL, peaks BLOB NOT NULL)""",
    "INSERT INTO tree VALUES (1, 0, x'')",
)
# CAST: a text that someone put there must fail the comparison, not the reading.
_TREE = "SELECT CAST(size AS INTEGER), CAST(peaks AS BLOB) FROM tree"
_HASH_BYTES = 32
_PAGE = 10_000  # records per read while the tree is computed again


class SqliteAccessLog:
    """Implements `ports.AccessLog`.

    Args:
        path: the file; made where it is missing.
        key: 32 bytes to encrypt the pages with.

    Raises:
        StoreCorrupt: the file is damaged, of another key, or its records do not give its root.
        FolderFormat, FolderUnusable: see `sqlite.Database`.

    Example:
        >>> SqliteAccessLog(path, key).size()  # doctest: +SKIP
        0
    """

    def __init__(self, path: Path, key: bytes) -> None:
        self._db = Database(path, schema=_SCHEMA, key=key)
        try:
            self._verify()
        except BaseException:
            self._db.close()
            raise

    def close(self) -> None:
        """Finish the waiting writes and close the file."""
        self._db.close()

    async def append(self, records: Sequence[AccessRecord]) -> int:
        """Add records; return the size of the log once they are on the disk.

        Raises:
            StoreFull: there was no room; the caller MUST NOT show what it read.
            InternalFault: a record is longer than 256 bytes.
        """
        rows = [_to_bytes(record) for record in records]

        def job(db: apsw.Connection) -> int:
            tree = _tree(db.execute(_TREE).fetchall()[0])
            for row in rows:
                db.execute("INSERT INTO records VALUES (?, ?)", (tree.size, row))
                tree.append(leaf_hash(row))
            db.execute("UPDATE tree SET size = ?, peaks = ?", (tree.size, b"".join(tree.peaks)))
            return tree.size

        size: int = await self._db.write(job)
        return size

    def size(self) -> int:
        """Return the number of records."""
        return self._stored().size

    def root(self) -> Digest:
        """Return the RFC 6962 root over all records, hex."""
        return Digest(self._stored().root().hex())

    def records(self, start: int, limit: int) -> list[AccessRecord]:
        """Return up to `limit` records from number `start`, counted from 0."""
        return [AccessRecord(*decode_record(row)) for row in self._rows(start, limit)]

    def _rows(self, start: int, limit: int) -> list[bytes]:
        sql = "SELECT CAST(data AS BLOB) FROM records WHERE number >= ? ORDER BY number LIMIT ?"
        return [row[0] for row in self._db.read(sql, start, limit)]

    def _stored(self) -> CompactRange:
        return _tree(self._db.read(_TREE)[0])

    def _verify(self) -> None:
        """Compute the tree from the records and compare it with the stored one."""
        tree = CompactRange()
        while rows := self._rows(tree.size, _PAGE):
            for row in rows:
                tree.append(leaf_hash(row))
        stored = self._db.read(_TREE)
        if [tuple(row) for row in stored] != [(tree.size, b"".join(tree.peaks))]:
            raise StoreCorrupt("access", file=str(self._db.path))


def _tree(row: Sequence[Any]) -> CompactRange:
    size, peaks = row
    steps = range(0, len(peaks), _HASH_BYTES)
    return CompactRange(size, [peaks[at : at + _HASH_BYTES] for at in steps])


def _to_bytes(record: AccessRecord) -> bytes:
    try:
        return encode_record(
            record.time_ms, who=record.who, action=record.action, what=record.what, why=record.why
        )
    except ValueError as error:
        raise InternalFault("access_record") from error
