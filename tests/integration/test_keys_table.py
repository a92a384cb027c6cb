"""The key table: epochs turn while it is read, a kill loses nothing, an erased key is gone."""

import asyncio
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import apsw
import pytest

from concura.adapters.sqlite_keys import SqliteKeyTable
from concura.adapters.system import SystemRandomness
from concura.errors import (
    FolderFormat,
    FolderUnusable,
    KeyUnavailable,
    NotFound,
    StoreCorrupt,
)
from concura.sealing import Erasure
from concura.sealing.suite import AES, SM
from concura.testing.keys import Root

DAY_MS = 24 * 3_600_000
NOW = 1_700_000_000_000


def table_in(folder, root=b"r" * 32):
    return SqliteKeyTable(Path(folder) / "keys.db", Root(root), SystemRandomness())


@pytest.fixture
def table(tmp_path):
    opened = table_in(tmp_path)
    yield opened
    opened.close()


def make(table, *patients):
    asyncio.run(table.make(patients))
    return {patient: table.patient_keys(patient) for patient in patients}


def names(count):
    return [f"p{number}" for number in range(count)]


def change(folder, sql, *values):
    with apsw.Connection(str(folder / "keys.db")) as db:
        db.execute(sql, values)
    db.close()


# Keys -------------------------------------------------------------------------------------------


def test_keys_are_made_once_and_stay(table, tmp_path):
    before = make(table, *names(3))
    assert (
        len({keys.data for keys in before.values()} | {k.pseudonym for k in before.values()}) == 6
    )
    assert make(table, *names(4)) | before == make(table, *names(4))
    pages = table.store_key("pages")
    table.close()
    again = table_in(tmp_path)
    assert {p: again.patient_keys(p) for p in before} == before
    assert again.store_key("pages") == pages != again.store_key("tokens")
    assert again.patient_keys("stranger") is None
    again.close()


def test_many_callers_at_once_get_the_same_keys(table):
    async def all_at_once():
        await asyncio.gather(*(table.make(names(5)) for _ in range(20)))

    asyncio.run(all_at_once())
    assert table.state().patients == 5


def test_two_processes_share_one_table(tmp_path):
    first, second = table_in(tmp_path), table_in(tmp_path)
    assert first.store_key("pages") == second.store_key("pages")
    assert make(first, "p1") == make(second, "p1")
    first.close()
    second.close()


# Lines put elsewhere ----------------------------------------------------------------------------


def two_lines(folder):
    table = table_in(folder)
    make(table, "p1", "p2")
    lines = [table.patient_token(name) for name in ("p1", "p2")]
    table.close()
    return lines


def test_the_line_of_another_patient_is_refused(tmp_path):
    first, second = two_lines(tmp_path)
    change(
        tmp_path,
        """UPDATE patient_keys SET wrapped = (SELECT wrapped FROM patient_keys WHERE patient = ?)
        WHERE patient = ?""",
        second,
        first,
    )
    table = table_in(tmp_path)
    with pytest.raises(StoreCorrupt):
        table.patient_keys("p1")
    assert table.patient_keys("p2") is not None
    table.close()


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE patient_keys SET generation = 2 WHERE patient = ?",
        "UPDATE patient_keys SET epoch = 9 WHERE patient = ?",
        "UPDATE patient_keys SET wrapped = x'' WHERE patient = ?",
        "UPDATE patient_keys SET wrapped = CAST(wrapped || 'x' AS TEXT) WHERE patient = ?",
        "UPDATE patient_keys SET wrapped = substr(wrapped, 1, 56) WHERE patient = ?",
    ],
)
def test_a_changed_line_is_refused(tmp_path, sql):
    first, _ = two_lines(tmp_path)
    change(tmp_path, sql, first)
    table = table_in(tmp_path)
    with pytest.raises((StoreCorrupt, KeyUnavailable)):
        table.patient_keys("p1")
    table.close()


def test_a_line_rolled_back_to_an_epoch_that_is_over_is_refused(tmp_path):
    first, _ = two_lines(tmp_path)
    shutil.copy(tmp_path / "keys.db", tmp_path / "old.db")
    table = table_in(tmp_path)
    table.rotate()
    table.rewrap()
    table.close()
    with apsw.Connection(str(tmp_path / "keys.db")) as db:
        db.execute("ATTACH ? AS old", (str(tmp_path / "old.db"),))
        db.execute(
            """INSERT OR REPLACE INTO patient_keys
            SELECT * FROM old.patient_keys WHERE patient = ?""",
            (first,),
        )
    table = table_in(tmp_path)
    with pytest.raises(StoreCorrupt):
        table.patient_keys("p1")
    table.close()


def test_an_epoch_key_put_back_from_an_old_copy_opens_under_its_own_number_only(tmp_path):
    two_lines(tmp_path)
    table = table_in(tmp_path)
    table.rotate()
    table.close()
    change(
        tmp_path,
        "UPDATE epochs SET wrapped = (SELECT wrapped FROM epochs WHERE epoch = 1) WHERE epoch = 2",
    )
    table = table_in(tmp_path)
    make(table, "p3")
    # Lines name their epoch inside: those of epoch 1 stay what they are, whatever stands in epoch 2.
    assert table.patient_keys("p1") is not None
    table.close()


def test_an_erased_line_that_is_put_back_stays_erased(tmp_path):
    first, _ = two_lines(tmp_path)
    shutil.copy(tmp_path / "keys.db", tmp_path / "old.db")
    table = table_in(tmp_path)
    table.erase("p1", now_ms=NOW)
    table.close()
    with apsw.Connection(str(tmp_path / "keys.db")) as db:
        db.execute("ATTACH ? AS old", (str(tmp_path / "old.db"),))
        db.execute(
            "INSERT INTO patient_keys SELECT * FROM old.patient_keys WHERE patient = ?", (first,)
        )
    table = table_in(tmp_path)
    assert table.patient_keys("p1") is None
    fresh = make(table, "p1")["p1"]
    assert fresh.generation == 2
    table.close()


def test_another_key_store_and_an_older_form_are_refused(tmp_path):
    table_in(tmp_path).close()
    with pytest.raises(KeyUnavailable):
        table_in(tmp_path, b"x" * 32)
    change(tmp_path, "PRAGMA user_version = 1")
    with pytest.raises(FolderFormat) as caught:
        table_in(tmp_path)
    assert caught.value.why == "old"


# Epochs -----------------------------------------------------------------------------------------


def test_a_rewrap_keeps_every_key_and_destroys_the_older_epochs(tmp_path):
    table = table_in(tmp_path)
    before = make(table, *names(25))
    pages = table.store_key("pages")
    old = table._epochs[1]
    assert table.rotate() == 2
    assert table.rotate() == 3
    assert table.state().pending == 25
    seen = []
    assert table.rewrap(batch=10, advance=seen.append) == 25
    assert sum(seen) == 25
    state = table.state()
    assert (state.epoch, state.epochs, state.pending, state.patients) == (3, 1, 0, 25)
    assert {p: table.patient_keys(p) for p in before} == before
    assert table.store_key("pages") == pages
    assert table.rewrap() == 0
    files = [path.read_bytes() for path in tmp_path.iterdir()]
    assert not any(Root().wrap_aes(old) in data for data in files)
    table.close()


def test_between_the_batches_lines_of_both_epochs_are_readable(table):
    before = make(table, *names(20))
    table.rotate()
    checked = []

    def look(_):
        table._drop()
        checked.append({p: table.patient_keys(p) for p in before} == before)

    table.rewrap(batch=3, advance=look)
    assert len(checked) >= 7
    assert all(checked)


def test_patients_who_come_during_a_rewrap_are_in_the_new_epoch(table):
    make(table, *names(20))
    table.rotate()
    made = iter(range(100, 200))

    def come(_):
        make(table, f"p{next(made)}")

    assert table.rewrap(batch=3, advance=come) == 20
    assert table.state().pending == 0
    assert table.state().epochs == 1


def test_an_epoch_that_begins_during_a_rewrap_becomes_its_target(table):
    before = make(table, *names(20))
    table.rotate()
    turns = iter([True])

    def turn(_):
        if next(turns, False):
            table.rotate()

    table.rewrap(batch=5, advance=turn)
    assert (table.state().epoch, table.state().epochs) == (3, 1)
    assert {p: table.patient_keys(p) for p in before} == before


def test_another_process_reads_on_through_rotation_and_rewrap(tmp_path):
    node, command = table_in(tmp_path), table_in(tmp_path)
    before = make(node, *names(12))
    command.rotate()
    assert make(node, "new")["new"].generation == 1
    command.rewrap(batch=5)
    assert {p: node.patient_keys(p) for p in before} == before
    assert set(node._epochs) <= {2}  # the older key is not kept in memory either
    assert command.state().pending == 0
    node.close()
    command.close()


def test_a_changed_line_stops_the_rewrap_and_the_older_epoch_stays(tmp_path):
    first, _ = two_lines(tmp_path)
    change(tmp_path, "UPDATE patient_keys SET wrapped = x'00' WHERE patient = ?", first)
    table = table_in(tmp_path)
    table.rotate()
    with pytest.raises(KeyUnavailable):
        table.rewrap()
    assert table.state().epochs == 2
    assert table.patient_keys("p2") is not None
    table.close()


def test_reads_go_on_in_other_threads_during_a_rewrap(table):
    before = make(table, *names(3_000))
    table.rotate()
    wrong, stop, count = [], threading.Event(), 0

    def read():
        nonlocal count
        while not stop.is_set():
            patient = random.choice(names(3_000))
            if table.patient_keys(patient) != before[patient]:
                wrong.append(patient)
            table._opened.clear()
            count += 1

    reader = threading.Thread(target=read)
    reader.start()
    try:
        table.rewrap(batch=200)
    finally:
        stop.set()
        reader.join()
    assert not wrong
    assert count


# Erasure ----------------------------------------------------------------------------------------


def test_an_erased_key_is_gone_from_every_byte_of_the_folder(tmp_path):
    table = table_in(tmp_path)
    make(table, *names(200))
    token = table.patient_token("p7")
    line = table.file.read("SELECT wrapped FROM patient_keys WHERE patient = ?", token)[0][0]
    table.file.checkpoint()
    assert any(line in path.read_bytes() for path in tmp_path.iterdir())
    erasure = table.erase("p7", now_ms=NOW)
    assert erasure == Erasure(token, 1, NOW)
    assert table.patient_keys("p7") is None
    assert not any(line in path.read_bytes() for path in tmp_path.iterdir())
    table.close()
    assert not any(line in path.read_bytes() for path in tmp_path.iterdir())


def test_erasing_twice_says_the_same_and_a_stranger_is_not_known(table):
    make(table, "p1")
    first = table.erase("p1", now_ms=NOW)
    assert table.erase("p1", now_ms=NOW + 5) == first
    with pytest.raises(NotFound):
        table.erase("stranger", now_ms=NOW)


def test_who_comes_back_after_an_erasure_has_new_keys(table):
    old = make(table, "p1")["p1"]
    table.erase("p1", now_ms=NOW)
    new = make(table, "p1")["p1"]
    assert new.generation == 2
    assert not {new.data, new.pseudonym} & {old.data, old.pseudonym}
    assert table.erase("p1", now_ms=NOW + 9) == Erasure(table.patient_token("p1"), 2, NOW + 9)


def test_an_erasure_is_due_until_the_epoch_that_it_happened_in_is_over(table):
    make(table, "p1", "p2")
    assert table.state().due_ms is None
    table.erase("p1", now_ms=NOW)
    assert table.state().due_ms == NOW + DAY_MS
    assert table.state().needs_epoch
    table.rewrap()  # nothing to do in the same epoch: still due
    assert table.state().due_ms == NOW + DAY_MS
    table.rotate()
    assert not table.state().needs_epoch
    table.erase("p2", now_ms=NOW + 7)  # its line may be in the new epoch already
    table.rewrap()
    assert table.state().due_ms == NOW + DAY_MS
    table.rotate()
    table.rewrap()
    assert table.state().due_ms is None
    assert table.state().erased == 2


def test_another_process_forgets_an_erased_key_at_once(tmp_path):
    node, command = table_in(tmp_path), table_in(tmp_path)
    assert make(node, "p1")["p1"]
    command.erase("p1", now_ms=NOW)
    assert node.patient_keys("p1") is None
    assert not node._opened
    node.close()
    command.close()


def test_replaying_an_erasure_list_deletes_older_generations_only(table):
    make(table, "p1", "p2")
    table.erase("p1", now_ms=NOW)
    back = make(table, "p1")["p1"]
    lines = [Erasure(table.patient_token("p1"), 1, NOW), Erasure(table.patient_token("p2"), 1, 5)]
    table.replay(lines, now_ms=NOW + 1)
    assert table.patient_keys("p1") == back
    assert table.patient_keys("p2") is None
    assert set(lines) == set(table.erasures())


def test_a_log_that_another_program_holds_open_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr("concura.adapters.sqlite._BUSY_MS", 10)
    table = table_in(tmp_path)
    make(table, "p1")
    other = apsw.Connection(str(tmp_path / "keys.db"))
    other.execute("BEGIN")
    other.execute("SELECT count(*) FROM patient_keys").fetchall()
    with pytest.raises(FolderUnusable) as caught:
        table.erase("p1", now_ms=NOW)
    assert caught.value.why == "busy"
    other.close()
    assert table.erase("p1", now_ms=NOW + 1).time_ms == NOW  # it goes on where it was
    table.close()


# Kills ------------------------------------------------------------------------------------------

TURNER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_keys_table import NOW, table_in
table = table_in(sys.argv[1])
print("ready", flush=True)
for turn in range(10_000):
    if table.state().epochs == 1:
        table.rotate()
    table.rewrap(batch=20)
    if sys.argv[3] == "erase":
        name = f"p{table.state().erased}"
        table.erase(name, now_ms=NOW)
        print(name, flush=True)
"""


def kill_after(folder, what, seconds):
    """Let a process turn epochs for a while, kill it, and return what it had told."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    with subprocess.Popen(
        [sys.executable, "-c", TURNER, str(folder), str(Path(__file__).parent), what],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stdout.readline() == "ready\n"
        threading.Event().wait(seconds)
        process.send_signal(signal.SIGKILL)
        return process.stdout.read().split()


@pytest.mark.parametrize("what", ["rewrap", "erase"])
def test_killed_at_any_moment_no_key_is_lost_and_no_erased_key_comes_back(tmp_path, what):
    table = table_in(tmp_path)
    before = make(table, *names(400))
    table.close()
    told, seed = [], random.Random(7)
    for _ in range(4):
        told += kill_after(tmp_path, what, seed.uniform(0.0, 0.25))
        table = table_in(tmp_path)
        erased = {f"p{n}" for n in range(table.state().erased)}
        assert set(told) <= erased
        for patient, keys in before.items():
            assert table.patient_keys(patient) == (None if patient in erased else keys)
        table.close()
    table = table_in(tmp_path)
    table.rotate()
    table.rewrap()
    assert table.state().epochs == 1
    assert table.state().due_ms is None
    table.close()


def test_under_the_other_suite_the_table_works_alike_and_neither_opens_the_others(tmp_path):
    def table_of(suite):
        return SqliteKeyTable(tmp_path / "keys.db", Root(), SystemRandomness(), suite=suite)

    table = table_of(SM)
    before = make(table, *names(6))
    table.rotate()
    assert table.rewrap(batch=4) == 6
    table.erase("p0", now_ms=NOW)
    assert {p: table.patient_keys(p) for p in before} == before | {"p0": None}
    table.close()
    with pytest.raises(KeyUnavailable):
        table_of(AES)


def test_what_is_logged_names_no_patient_and_no_key(table, caplog):
    caplog.set_level("DEBUG")
    keys = make(table, "Planted-Patient")["Planted-Patient"]
    table.rotate()
    table.rewrap()
    table.erase("Planted-Patient", now_ms=NOW)
    told = " ".join(record.getMessage() for record in caplog.records)
    assert "epoch begun: epoch=2" in told
    assert "patient erased" in told
    for secret in ("Planted", keys.data.hex(), repr(keys.data), keys.pseudonym.hex()):
        assert secret not in told
