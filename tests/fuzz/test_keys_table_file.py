"""Invariant: whatever the bytes of a key table's file, only our errors come out."""

import asyncio
import random

from concura.adapters.sqlite_keys import SqliteKeyTable
from concura.adapters.system import SystemRandomness
from concura.errors import ConcuraError
from concura.testing.keys import Root


def names(count):
    return [f"p{number}" for number in range(count)]


def table_in(folder):
    return SqliteKeyTable(folder / "keys.db", Root(), SystemRandomness())


def test_whatever_the_bytes_of_the_file_only_our_errors_come_out(tmp_path):
    table = table_in(tmp_path)
    asyncio.run(table.make(names(50)))
    table.close()
    whole, seed = (tmp_path / "keys.db").read_bytes(), random.Random(3)
    for _ in range(60):
        data = bytearray(whole)
        for _ in range(seed.randint(1, 30)):
            data[seed.randrange(len(data))] = seed.randrange(256)
        (tmp_path / "keys.db").write_bytes(data[: seed.choice([len(data), 5_000, 100])])
        for name in ("keys.db-wal", "keys.db-shm"):
            (tmp_path / name).unlink(missing_ok=True)
        try:
            table = table_in(tmp_path)
        except ConcuraError:
            continue
        try:
            for patient in names(50):
                try:
                    table.patient_keys(patient)
                except ConcuraError:
                    continue
        finally:
            table.close()
