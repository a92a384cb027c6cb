"""The hub's store in one SQLite file: journal, blocks, co-signatures, mail, contributions, facts.

This module does NOT verify what it stores, and holds nothing that opens a sealed object.
"""

from collections.abc import Sequence
from pathlib import Path

import apsw

from concura.adapters.sqlite import Database, scalar
from concura.errors import InternalFault
from concura.ports import MailItem
from concura.types import EntryId, Height, MemberId, StudyId

__all__ = ["SqliteHubStore"]

_SCHEMA = (
    "CREATE TABLE journal (position INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, data BLOB)",
    "CREATE TABLE blocks (height INTEGER PRIMARY KEY, data BLOB, checkpoint BLOB)",
    """CREATE TABLE cosignatures (size INTEGER, member TEXT, line BLOB,
        PRIMARY KEY (size, member)) WITHOUT ROWID""",
    # AUTOINCREMENT: the number of a deleted item never comes back. The parties belong to the
    # unique key: nobody may take another's place in a mailbox.
    """CREATE TABLE mail (number INTEGER PRIMARY KEY AUTOINCREMENT, recipient TEXT NOT NULL,
        sender TEXT NOT NULL, kind TEXT NOT NULL, transfer TEXT NOT NULL, data BLOB,
        UNIQUE (recipient, sender, kind, transfer))""",
    """CREATE TABLE contributions (study TEXT, step TEXT, member TEXT, data BLOB,
        PRIMARY KEY (study, step, member)) WITHOUT ROWID""",
    "CREATE TABLE facts (name TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID",
)
_AFTER_ALL = "\U0010ffff"  # greater than any character that a name may go on with


class SqliteHubStore:
    """Implements `ports.HubStore`.

    Args:
        path: the file; made where it is missing.

    Raises:
        StoreCorrupt, FolderFormat, FolderUnusable: see `sqlite.Database`.
    """

    def __init__(self, path: Path) -> None:
        self._db = Database(path, schema=_SCHEMA)

    def close(self) -> None:
        """Finish the waiting writes and close the file."""
        self._db.close()

    async def append(self, entries: Sequence[tuple[EntryId, bytes]]) -> list[int]:
        """Put signed entries into the journal; one that is there keeps its position."""

        def job(db: apsw.Connection) -> list[int]:
            last = scalar(db, "SELECT max(position) FROM journal")
            free = 0 if last is None else last + 1
            positions = []
            for entry, data in entries:
                db.execute("INSERT OR IGNORE INTO journal VALUES (?, ?, ?)", (free, entry, data))
                if db.changes():
                    positions.append(free)
                    free += 1
                else:
                    known = scalar(db, "SELECT position FROM journal WHERE id = ?", (entry,))
                    positions.append(known)
            return positions

        result: list[int] = await self._db.write(job)
        return result

    def journal(self, start: int, limit: int) -> list[bytes]:
        """Return up to `limit` signed entries from position `start`."""
        rows = self._db.read(
            "SELECT data FROM journal WHERE position >= ? ORDER BY position LIMIT ?", start, limit
        )
        return [row[0] for row in rows]

    def position(self, entry: EntryId) -> int | None:
        """Return where an entry stands in the journal, or None."""
        found: int | None = self._db.read_value("SELECT position FROM journal WHERE id = ?", entry)
        return found

    async def put_block(self, height: Height, block: bytes, checkpoint: bytes) -> None:
        """Store a block; another one at the same height is never put in its place."""

        def job(db: apsw.Connection) -> None:
            db.execute("INSERT OR IGNORE INTO blocks VALUES (?, ?, ?)", (height, block, checkpoint))
            known = scalar(db, "SELECT data FROM blocks WHERE height = ?", (height,))
            if known != block:
                raise InternalFault(detail=f"block {height} exists")

        await self._db.write(job)

    def blocks(self, start: Height, limit: int) -> list[bytes]:
        """Return up to `limit` blocks from height `start`."""
        rows = self._db.read(
            "SELECT data FROM blocks WHERE height >= ? ORDER BY height LIMIT ?", start, limit
        )
        return [row[0] for row in rows]

    def checkpoint(self) -> bytes:
        """Return the newest checkpoint, or b"" before genesis."""
        sql = "SELECT checkpoint FROM blocks ORDER BY height DESC LIMIT 1"
        return self._db.read_value(sql) or b""

    async def put_cosignature(self, size: int, member: MemberId, line: bytes) -> None:
        """Keep a witness's signature line; a newer one replaces it."""
        sql = "INSERT OR REPLACE INTO cosignatures VALUES (?, ?, ?)"
        await self._db.write(lambda db: db.execute(sql, (size, member, line)) and None)

    def cosignatures(self, size: int) -> dict[MemberId, bytes]:
        """Return the signature lines over the checkpoint of log size `size`."""
        sql = "SELECT member, line FROM cosignatures WHERE size = ? ORDER BY member"
        return dict(self._db.read(sql, size))

    async def put_mail(self, item: MailItem) -> int:
        """Put a sealed object into a mailbox; the same parties, kind and transfer give one item."""
        key = (item.recipient, item.sender, item.kind, item.transfer)

        def job(db: apsw.Connection) -> int:
            db.execute(
                "INSERT OR IGNORE INTO mail (recipient, sender, kind, transfer, data)"
                " VALUES (?, ?, ?, ?, ?)",
                (*key, item.data),
            )
            sql = (
                "SELECT number FROM mail"
                " WHERE recipient = ? AND sender = ? AND kind = ? AND transfer = ?"
            )
            return int(scalar(db, sql, key))

        number: int = await self._db.write(job)
        return number

    def mail(self, recipient: MemberId, after: int) -> list[MailItem]:
        """Return the items for `recipient` with a number greater than `after`."""
        rows = self._db.read(
            "SELECT number, recipient, sender, kind, transfer, data FROM mail"
            " WHERE recipient = ? AND number > ? ORDER BY number",
            recipient,
            after,
        )
        return [MailItem(*row) for row in rows]

    async def delete_mail(self, number: int) -> None:
        """Remove an item that was delivered."""
        sql = "DELETE FROM mail WHERE number = ?"
        await self._db.write(lambda db: db.execute(sql, (number,)) and None)

    async def put_contribution(
        self, study: StudyId, step: str, member: MemberId, data: bytes
    ) -> None:
        """Keep a contribution; the first one for a step stays."""
        sql = "INSERT OR IGNORE INTO contributions VALUES (?, ?, ?, ?)"
        await self._db.write(lambda db: db.execute(sql, (study, step, member, data)) and None)

    def contributions(self, study: StudyId, step: str) -> dict[MemberId, bytes]:
        """Return what has come in for one step."""
        sql = "SELECT member, data FROM contributions WHERE study = ? AND step = ? ORDER BY member"
        return dict(self._db.read(sql, study, step))

    def count_contributions(self, study: StudyId, step: str) -> int:
        """Return how many have come in for one step."""
        found: int = self._db.read_value(
            "SELECT count(*) FROM contributions WHERE study = ? AND step = ?", study, step
        )
        return found

    async def put_fact(self, name: str, value: bytes) -> None:
        """Keep a named value."""
        sql = "INSERT OR REPLACE INTO facts VALUES (?, ?)"
        await self._db.write(lambda db: db.execute(sql, (name, value)) and None)

    def fact(self, name: str) -> bytes | None:
        """Return a named value, or None."""
        found: bytes | None = self._db.read_value("SELECT value FROM facts WHERE name = ?", name)
        return found

    def facts(self, prefix: str) -> dict[str, bytes]:
        """Return all named values whose name starts with `prefix`, ordered by name."""
        sql = "SELECT name, value FROM facts WHERE name >= ? AND name < ? ORDER BY name"
        return dict(self._db.read(sql, prefix, prefix + _AFTER_ALL))
