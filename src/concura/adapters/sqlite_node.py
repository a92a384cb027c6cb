"""A node's store in one SQLite file: its replica of the ledger, and facts such as receipts.

This module does NOT hold health records (`sqlite_records.py`) or private keys (`keys_file.py`).
"""

from collections.abc import Sequence
from pathlib import Path

import apsw

from concura.adapters.sqlite import Database, scalar
from concura.errors import InternalFault
from concura.types import Height

__all__ = ["SqliteNodeStore"]

_SCHEMA = (
    "CREATE TABLE blocks (height INTEGER PRIMARY KEY, data BLOB)",
    "CREATE TABLE facts (name TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID",
)
_AFTER_ALL = "\U0010ffff"  # greater than any character that a name may go on with


class SqliteNodeStore:
    """Implements `ports.NodeStore`.

    Args:
        path: the file; made where it is missing.
        key: 32 bytes to encrypt the pages with, or None.

    Raises:
        StoreCorrupt, FolderFormat, FolderUnusable: see `sqlite.Database`.
    """

    def __init__(self, path: Path, *, key: bytes | None) -> None:
        self._db = Database(path, schema=_SCHEMA, key=key)

    def close(self) -> None:
        """Finish the waiting writes and close the file."""
        self._db.close()

    async def put_blocks(self, blocks: Sequence[tuple[Height, bytes]]) -> None:
        """Keep verified blocks, all or none; another one at a known height is refused."""

        def job(db: apsw.Connection) -> None:
            for height, data in blocks:
                db.execute("INSERT OR IGNORE INTO blocks VALUES (?, ?)", (height, data))
                if not db.changes():
                    known = scalar(db, "SELECT data FROM blocks WHERE height = ?", (height,))
                    if known != data:
                        raise InternalFault(detail=f"block {height} exists")

        await self._db.write(job)

    def blocks(self, start: Height, limit: int) -> list[bytes]:
        """Return up to `limit` blocks from height `start`."""
        rows = self._db.read(
            "SELECT data FROM blocks WHERE height >= ? ORDER BY height LIMIT ?", start, limit
        )
        return [row[0] for row in rows]

    async def put_fact(self, name: str, value: bytes) -> None:
        """Keep a named value."""
        sql = "INSERT OR REPLACE INTO facts VALUES (?, ?)"
        await self._db.write(lambda db: db.execute(sql, (name, value)) and None)

    async def delete_fact(self, name: str) -> None:
        """Forget a named value."""
        sql = "DELETE FROM facts WHERE name = ?"
        await self._db.write(lambda db: db.execute(sql, (name,)) and None)

    def fact(self, name: str) -> bytes | None:
        """Return a named value, or None."""
        found: bytes | None = self._db.read_value("SELECT value FROM facts WHERE name = ?", name)
        return found

    def facts(self, prefix: str) -> dict[str, bytes]:
        """Return all named values whose name starts with `prefix`, ordered by name."""
        sql = "SELECT name, value FROM facts WHERE name >= ? AND name < ? ORDER BY name"
        return dict(self._db.read(sql, prefix, prefix + _AFTER_ALL))
