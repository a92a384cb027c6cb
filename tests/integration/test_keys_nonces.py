"""No nonce comes twice: not from many writers, forks, restarts, or a restored backup."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from concura.adapters.sqlite_records import SqliteRecords
from concura.adapters.system import SystemRandomness
from concura.sealing import unwrap_key, wrap_key


class Root:
    """As much of a key store as the record store uses."""

    def wrap_aes(self, key):
        return wrap_key(b"r" * 32, key)

    def unwrap_aes(self, wrapped):
        return unwrap_key(b"r" * 32, wrapped)


def open_in(folder):
    return SqliteRecords(Path(folder), Root(), SystemRandomness())


def version(number):
    # The same content each time: a nonce made from it, or from its version, would come again.
    return {"resourceType": "Patient", "id": "p1", "gender": "other"}


def put_some(store, count):
    async def all_at_once():
        await asyncio.gather(*(store.put([version(n)]) for n in range(count)))

    asyncio.run(all_at_once())


def nonces(folder, store):
    """Return key id and nonce of every row."""
    db = apsw.Connection(str(folder / "records.db"))
    db.execute(f"PRAGMA key = 'raw:{store._store_key('pages').hex()}'")
    found = [row[0][:12] for row in db.execute("SELECT body FROM resources").fetchall()]
    db.close()
    return found


def test_many_writes_at_once_and_after_a_restart_use_different_nonces(tmp_path):
    store = open_in(tmp_path)
    put_some(store, 60)
    store.close()
    store = open_in(tmp_path)
    put_some(store, 60)
    found = nonces(tmp_path, store)
    store.close()
    assert len(found) == len(set(found)) == 120


def test_a_restored_backup_goes_on_with_fresh_nonces(tmp_path):
    store = open_in(tmp_path / "one")
    put_some(store, 10)
    store.close()
    shutil.copytree(tmp_path / "one", tmp_path / "two")  # the same state, twice
    found = []
    for name in ("one", "two"):
        store = open_in(tmp_path / name)
        put_some(store, 40)
        found += nonces(tmp_path / name, store)[10:]
        store.close()
    assert len(found) == len(set(found)) == 80


FORKS = """
import json, os, sys
from concura.adapters.system import SystemRandomness
draw = SystemRandomness().draw
draw(12)
read, write = os.pipe()
for child in range(4):
    if os.fork() == 0:
        os.write(write, b"".join(draw(12) for _ in range(200)))
        os._exit(0)
for _ in range(4):
    os.wait()
os.close(write)
data = b""
while part := os.read(read, 65536):
    data += part
data += b"".join(draw(12) for _ in range(200))
print(json.dumps([data[i : i + 12].hex() for i in range(0, len(data), 12)]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="platform: no fork")
def test_forked_processes_draw_different_nonces():
    told = subprocess.run(
        [sys.executable, "-c", FORKS],
        capture_output=True,
        check=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    found = json.loads(told.stdout)
    assert len(found) == len(set(found)) == 1_000


def test_keys_are_drawn_anew_in_every_table_and_epoch(tmp_path):
    found = set()
    for name in ("a", "b"):
        store = open_in(tmp_path / name)
        put_some(store, 1)
        store.table.rotate()
        for (wrapped,) in store.table.file.read("SELECT wrapped FROM epochs"):
            found.add(Root().unwrap_aes(wrapped))
        keys = store.table.patient_keys("p1")
        found |= {keys.data, keys.pseudonym, store._store_key("pages"), store._store_key("tokens")}
        store.close()
    assert len(found) == 2 * 6
