"""The access log: durable before it answers, an RFC 6962 log, and verified when it is opened."""

import asyncio
import os
import signal
import subprocess
import sys

import apsw
import pytest

from concura.adapters.sqlite_access import SqliteAccessLog
from concura.errors import InternalFault, StoreCorrupt
from concura.ledger.access_log import encode_record
from concura.ledger.merkle import EMPTY_ROOT, leaf_hash, root
from concura.ports import AccessRecord
from concura.testing.records import MemoryAccessLog
from concura.types import TimeMs

KEY = b"k" * 32


@pytest.fixture(params=["memory", "sqlite"])
def log(request, tmp_path):
    if request.param == "memory":
        yield MemoryAccessLog()
        return
    opened = SqliteAccessLog(tmp_path / "access.db", KEY)
    yield opened
    opened.close()


def record(number, who="dr-planted"):
    return AccessRecord(TimeMs(1_000 + number), who, "read", f"token-{number}", "treatment")


def append(log, *records):
    return asyncio.run(log.append(records))


def test_an_empty_log_has_the_empty_root(log):
    assert (log.size(), log.root()) == (0, EMPTY_ROOT.hex())
    assert log.records(0, 10) == []


def test_records_are_read_back_in_order_and_make_the_root(log):
    assert append(log, record(0), record(1)) == 2
    assert append(log, record(2)) == 3
    assert log.records(1, 5) == [record(1), record(2)]
    leaves = [
        leaf_hash(encode_record(r.time_ms, who=r.who, action=r.action, what=r.what, why=r.why))
        for r in (record(0), record(1), record(2))
    ]
    assert log.root() == root(leaves).hex()


def test_many_appends_at_once_each_get_their_own_size(log):
    async def all_at_once():
        return await asyncio.gather(*(log.append([record(n)]) for n in range(300)))

    assert sorted(asyncio.run(all_at_once())) == list(range(1, 301))
    assert sorted(log.records(0, 500), key=lambda r: r.time_ms) == [record(n) for n in range(300)]


def test_a_record_over_its_limit_is_refused_and_nothing_is_added(log):
    with pytest.raises(InternalFault) as caught:
        append(log, record(0), record(1, who="x" * 300))
    assert caught.value.message("zh")
    assert log.size() == 0


def test_opened_again_the_log_goes_on(tmp_path):
    path = tmp_path / "access.db"
    log = SqliteAccessLog(path, KEY)
    append(log, *(record(n) for n in range(5)))
    before = log.root()
    log.close()
    assert b"dr-planted" not in path.read_bytes()
    again = SqliteAccessLog(path, KEY)
    assert (again.size(), again.root()) == (5, before)
    assert append(again, record(5)) == 6
    again.close()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE records SET data = x'5b5d' WHERE number = 2",
        "DELETE FROM records WHERE number = 4",
        "DELETE FROM records WHERE number = 1",
        "INSERT INTO records VALUES (5, x'5b5d')",
        "UPDATE records SET number = 9 WHERE number = 4",
        "UPDATE tree SET size = 3, peaks = x'' || substr(peaks, 1, 64)",
    ],
)
def test_a_changed_log_is_refused_when_it_is_opened(tmp_path, change):
    path = tmp_path / "access.db"
    log = SqliteAccessLog(path, KEY)
    append(log, *(record(n) for n in range(5)))
    log.close()
    with apsw.Connection(str(path)) as db:
        db.execute(f"PRAGMA key = 'raw:{KEY.hex()}'")
        db.execute(change)
    with pytest.raises(StoreCorrupt) as caught:
        SqliteAccessLog(path, KEY)
    assert caught.value.message("zh")


def test_another_key_opens_nothing(tmp_path):
    SqliteAccessLog(tmp_path / "access.db", KEY).close()
    with pytest.raises(StoreCorrupt):
        SqliteAccessLog(tmp_path / "access.db", b"x" * 32)


WRITER = """
import asyncio, sys
from pathlib import Path
from concura.adapters.sqlite_access import SqliteAccessLog
from concura.ports import AccessRecord
log = SqliteAccessLog(Path(sys.argv[1]), b"k" * 32)
async def main():
    number = 0
    while True:
        number = await log.append([AccessRecord(number, "dr", "read", "t", "treatment")])
        print(number, flush=True)
asyncio.run(main())
"""


def test_a_writer_killed_at_any_moment_loses_no_acknowledged_record(tmp_path):
    path = tmp_path / "access.db"
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    ) as writer:
        told = [int(writer.stdout.readline()) for _ in range(50)]
        writer.send_signal(signal.SIGKILL)
        told += [int(line) for line in writer.stdout.read().split("\n")[:-1]]
    log = SqliteAccessLog(path, KEY)
    assert log.size() >= told[-1]
    log.close()
