"""An erased patient cannot be brought back: not from old backups, keys of today or shares."""

import asyncio
import copy
import shutil
from pathlib import Path

import apsw
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from concura.adapters.key_copies import (
    back_up_records,
    back_up_table,
    copies,
    restore_records,
    restore_table,
)
from concura.adapters.sqlite_records import SqliteRecords
from concura.adapters.system import SystemRandomness
from concura.adapters.table_files import shipped_folder
from concura.errors import (
    ConcuraError,
    FolderUnusable,
    KeyUnavailable,
    NotFound,
    StoreCorrupt,
)
from concura.sealing import Erasure, combine, split, unwrap_key, wrap_key

DAY_MS = 24 * 3_600_000
NOW = 1_700_000_000_000
ROOT = b"r" * 32


class Root:
    """As much of a key store as the record store uses."""

    def __init__(self, root=ROOT):
        self.root = root

    def wrap_aes(self, key):
        return wrap_key(self.root, key)

    def unwrap_aes(self, wrapped):
        return unwrap_key(self.root, wrapped)


def open_in(folder, root=ROOT):
    return SqliteRecords(Path(folder), Root(root), SystemRandomness())


def some(count):
    found = shipped_folder().resources("hospital-d")
    return [next(found) for _ in range(count)]


def put(store, *patients):
    asyncio.run(store.put([resource for found in patients for resource in found]))


def more(now=NOW, **others):
    return {"keystore": Root(), "randomness": SystemRandomness(), "now_ms": now} | others


def rows_of(path, page_key, patient):
    """Return the rows of a patient, as a thief with the page key reads them."""
    db = apsw.Connection(str(path))
    db.execute(f"PRAGMA key = 'raw:{page_key.hex()}'")
    found = db.execute(
        "SELECT type, id, version, body FROM resources WHERE patient = ?", (patient,)
    ).fetchall()
    db.close()
    return found


def every_key(store):
    """Return every AES key that the key table and the root of today give."""
    table = store.table
    keys = [table._keystore.root]
    for (wrapped,) in table.file.read("SELECT wrapped FROM epochs"):
        keys.append(table._keystore.unwrap_aes(wrapped))
    for (name,) in table.file.read("SELECT name FROM store_keys"):
        keys.append(table.store_key(name))
    for patient in store.patients():
        opened = table.patient_keys(patient)
        keys += [opened.data, opened.pseudonym]
    return keys


def opens(row, key):
    kind, id_, version, body = row
    place = f'{{"id":"{id_}","store":"records","type":"{kind}","version":{version}}}'
    try:
        AESGCM(key).decrypt(body[:12], body[12:], place.encode())
    except InvalidTag:
        return False
    return True


class Story:
    """Three patients, backups of both files, then one is erased and the epoch turned."""

    def __init__(self, folder):
        self.folder, self.data = folder, folder / "data"
        self.old_records, self.old_table = folder / "a" / "records.db", folder / "b" / "keys.db"
        for path in (self.old_records, self.old_table):
            path.parent.mkdir()
        self.store = open_in(self.data)
        self.patients = some(3)
        put(self.store, *self.patients)
        self.gone, self.kept, self.other = (found[0]["id"] for found in self.patients)
        self.lost_key = self.store.table.patient_keys(self.gone).data
        self.page_key = self.store._store_key("pages")
        back_up_records(self.store, self.old_records)
        back_up_table(self.store.table, self.old_table, now_ms=NOW)
        self.erasure = self.store.erase(self.gone, now_ms=NOW + 1)
        self.store.table.rotate()
        self.store.table.rewrap()

    def close(self):
        self.store.close()


@pytest.fixture
def story(tmp_path):
    told = Story(tmp_path)
    yield told
    told.close()


# Erasure ----------------------------------------------------------------------------------------


def test_an_erased_patient_is_found_nowhere_and_the_others_are_whole(story):
    store = story.store
    assert story.gone not in store.patients()
    assert store.of_patient(story.gone) == []
    assert store.get("Patient", story.gone) is None
    identifier = story.patients[0][0]["identifier"][0]
    assert store.by_identifier(identifier["system"], identifier["value"]) is None
    with pytest.raises(NotFound):
        store.pseudonym_key(story.gone)
    assert len(store.of_patient(story.kept)) == len(story.patients[1])
    assert rows_of(story.data / "records.db", story.page_key, story.gone) == []


def test_the_rows_of_an_erased_patient_are_gone_from_every_byte(tmp_path):
    store = open_in(tmp_path)
    patients = some(5)
    put(store, *patients)
    gone = patients[0][0]["id"]
    page_key = store._store_key("pages")
    store.file.checkpoint()
    bodies = [row[3] for row in rows_of(tmp_path / "records.db", page_key, gone)]
    store.erase(gone, now_ms=NOW)
    store.close()
    # Decrypted page by page, as a thief with the page key would: rekeying to none shows the pages.
    plain = tmp_path / "plain.db"
    shutil.copy(tmp_path / "records.db", plain)
    db = apsw.Connection(str(plain))
    db.execute(f"PRAGMA key = 'raw:{page_key.hex()}'")
    db.execute("PRAGMA journal_mode = DELETE")
    db.execute("PRAGMA rekey = ''")
    db.close()
    pages = plain.read_bytes()
    assert pages.startswith(b"SQLite format 3")
    assert patients[1][0]["id"].encode() in pages
    assert gone.encode() not in pages
    assert bodies
    assert not any(body[:40] in pages for body in bodies)


def test_old_backup_and_every_key_of_today_open_no_row_of_the_erased(story):
    rows = rows_of(story.old_records, story.page_key, story.gone)
    assert rows
    assert all(opens(row, story.lost_key) for row in rows)  # the trial is a fair one
    keys = every_key(story.store)
    assert len(keys) >= 8
    assert not any(opens(row, key) for row in rows for key in keys)
    others = rows_of(story.old_records, story.page_key, story.kept)
    assert all(any(opens(row, key) for key in keys) for row in others)


def test_old_backup_and_a_root_from_shares_open_no_row_of_the_erased(story):
    shares = split(ROOT, threshold=2, count=3, set_id=bytes(4), coefficients=bytes(range(40)))
    root = combine(shares[1:])
    story.store.close()
    again = open_in(story.data, root)
    rows = rows_of(story.old_records, story.page_key, story.gone)
    assert not any(opens(row, key) for row in rows for key in every_key(again))
    again.close()


def test_no_file_of_today_holds_the_erased_key_in_any_form(story):
    old = apsw.Connection(str(story.old_table))
    lines = [line[0] for line in old.execute("SELECT wrapped FROM patient_keys").fetchall()]
    epochs = [line[0] for line in old.execute("SELECT wrapped FROM epochs").fetchall()]
    old.close()
    story.store.close()
    files = [path.read_bytes() for path in story.data.iterdir() if path.is_file()]
    for secret in [story.lost_key, *lines, *epochs]:
        assert not any(secret in data for data in files)


# Putting back -----------------------------------------------------------------------------------


def test_a_restored_record_backup_deletes_the_erased_before_it_serves(story):
    story.store.close()
    lost = restore_records(story.data, story.old_records, **more(replace=True))
    assert lost == 0
    again = open_in(story.data)
    assert set(again.patients()) == {story.kept, story.other}
    assert rows_of(story.data / "records.db", story.page_key, story.gone) == []
    assert len(again.of_patient(story.kept)) == len(story.patients[1])
    again.close()


def test_a_backup_that_is_copied_into_place_by_hand_deletes_them_too(story):
    story.store.close()
    shutil.copy(story.old_records, story.data / "records.db")
    again = open_in(story.data)
    assert story.gone not in again.patients()
    assert rows_of(story.data / "records.db", story.page_key, story.gone) == []
    again.close()


def test_an_old_key_table_beside_the_records_of_today_loses_the_erased_again(story):
    story.store.close()
    shutil.copy(story.old_table, story.data / "keys.db")
    again = open_in(story.data)
    assert again.table.patient_keys(story.gone) is None
    assert again.table.state().needs_epoch
    again.table.rotate()
    again.table.rewrap()
    assert len(again.of_patient(story.kept)) == len(story.patients[1])
    again.close()


def test_both_old_backups_with_the_receipt_do_not_bring_the_erased_back(story, tmp_path):
    story.store.close()
    data = tmp_path / "fresh"
    data.mkdir()
    restore_table(data, story.old_table, **more(NOW + DAY_MS, erasures=[story.erasure]))
    restore_records(data, story.old_records, **more(NOW + DAY_MS, erasures=[story.erasure]))
    again = open_in(data)
    assert set(again.patients()) == {story.kept, story.other}
    assert not any(
        opens(row, key)
        for row in rows_of(story.old_records, story.page_key, story.gone)
        for key in every_key(again)
    )
    again.close()


def test_records_first_and_the_receipt_afterwards_is_the_same(story, tmp_path):
    data = tmp_path / "fresh"
    data.mkdir()
    restore_table(data, story.old_table, **more())
    restore_records(data, story.old_records, **more())
    again = open_in(data)
    assert story.gone in again.patients()  # nothing here knows of the erasure, and it is in time
    again.replay([story.erasure], now_ms=NOW + 5)
    assert story.gone not in again.patients()
    again.close()


def test_a_key_table_backup_after_the_window_is_refused(story, tmp_path):
    data = tmp_path / "fresh"
    data.mkdir()
    restore_table(data, story.old_table, **more(NOW + 30 * DAY_MS))
    (data / "keys.db").unlink()
    with pytest.raises(KeyUnavailable) as caught:
        restore_table(data, story.old_table, **more(NOW + 30 * DAY_MS + 1))
    assert caught.value.why == "backup_old"
    assert list(data.iterdir()) == []
    assert story.erasure.complete_ms > NOW + 30 * DAY_MS  # complete no earlier than that


def test_a_usable_key_table_is_replaced_only_on_demand_and_keeps_its_erasures(story):
    story.store.close()
    with pytest.raises(KeyUnavailable) as caught:
        restore_table(story.data, story.old_table, **more())
    assert caught.value.why == "table_present"
    restore_table(story.data, story.old_table, **more(replace=True))
    again = open_in(story.data)
    assert again.table.patient_keys(story.gone) is None
    assert again.table.state().due_ms is not None
    again.close()


def test_a_broken_key_table_is_replaced_and_patients_without_keys_are_counted(story):
    put(story.store, late := some(5)[4])
    back_up_records(story.store, story.old_records)
    story.store.close()
    (story.data / "keys.db").write_bytes(b"broken" * 1000)
    restore_table(story.data, story.old_table, **more())
    lost = restore_records(story.data, story.old_records, **more(replace=True))
    assert lost == 1
    again = open_in(story.data)
    assert len(again.of_patient(story.kept)) == len(story.patients[1])
    with pytest.raises(NotFound):
        again.of_patient(late[0]["id"])
    again.close()


def test_records_that_are_there_are_replaced_only_on_demand(story):
    story.store.close()
    with pytest.raises(FolderUnusable) as caught:
        restore_records(story.data, story.old_records, **more())
    assert caught.value.why == "present"


@pytest.mark.parametrize("data", [b"", b"x" * 5_000])
def test_what_is_no_backup_leaves_everything_as_it_was(story, data):
    story.store.close()
    bad = story.folder / "bad"
    bad.write_bytes(data)
    before = {path.name: path.read_bytes() for path in story.data.iterdir()}
    for restore in (restore_table, restore_records):
        with pytest.raises(ConcuraError):
            restore(story.data, bad, **more(replace=True))
    assert {path.name: path.read_bytes() for path in story.data.iterdir()} == before


def test_a_file_of_the_wrong_kind_is_refused(story, tmp_path):
    story.store.close()
    with pytest.raises(ConcuraError):
        restore_records(story.data, story.old_table, **more(replace=True))
    with pytest.raises(ConcuraError):
        restore_table(story.data, story.old_records, **more(replace=True))
    live = tmp_path / "live.db"
    shutil.copy(story.data / "keys.db", live)
    with pytest.raises(KeyUnavailable) as caught:
        restore_table(story.data, live, **more(replace=True))
    assert caught.value.why == "backup"
    with pytest.raises(KeyUnavailable):
        restore_records(tmp_path / "none", story.old_records, **more())
    with pytest.raises(KeyUnavailable):
        restore_table(story.data, story.old_table, **more(keystore=Root(b"x" * 32), replace=True))


# Backups ----------------------------------------------------------------------------------------


def test_a_record_backup_holds_no_key_and_shows_nothing(story):
    data = story.old_records.read_bytes()
    keys = [story.lost_key, story.page_key, ROOT, story.gone.encode()]
    assert not any(key in data for key in keys)
    assert not data.startswith(b"SQLite")
    assert story.old_records.stat().st_mode & 0o777 == 0o600
    assert story.old_table.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in story.old_records.parent.iterdir()] == ["records.db"]


def test_a_newer_key_table_backup_replaces_the_older_and_others_are_remembered(story):
    place = story.folder / "c" / "keys.db"
    place.parent.mkdir()
    table = story.store.table
    assert [copy.place for copy in copies(table)] == [story.old_table]
    back_up_table(table, place, now_ms=NOW + 9)
    assert {(c.place, c.made_ms) for c in copies(table)} == {
        (story.old_table, NOW),
        (place, NOW + 9),
    }
    back_up_table(table, story.old_table, now_ms=NOW + 10)
    old = apsw.Connection(str(story.old_table))
    lines = old.execute("SELECT count(*) FROM patient_keys").fetchall()
    old.close()
    assert lines == [(2,)]
    place.unlink()
    assert [copy.made_ms for copy in copies(table)] == [NOW + 10]


def test_a_backup_is_one_moment_while_writes_go_on(story):
    async def both():
        writing = asyncio.gather(*(story.store.put(found) for found in some(30)))
        await asyncio.to_thread(back_up_records, story.store, story.old_records)
        await writing

    asyncio.run(both())
    story.store.close()
    restore_records(story.data, story.old_records, **more(replace=True))
    again = open_in(story.data)
    whole = {found[0]["id"]: len(found) for found in some(30)}
    for patient in again.patients():
        assert len(again.of_patient(patient)) == whole[patient]
    again.close()


def test_a_backup_onto_the_file_itself_is_refused(story):
    with pytest.raises(FolderUnusable) as caught:
        back_up_records(story.store, story.data / "records.db")
    assert caught.value.why == "itself"


def test_a_backup_that_cannot_be_written_leaves_the_older_one(story, monkeypatch):
    before = story.old_records.read_bytes()
    monkeypatch.setattr("concura.adapters.sqlite_copies.scalar", lambda *_: "damaged")
    with pytest.raises(StoreCorrupt):
        back_up_records(story.store, story.old_records)
    assert story.old_records.read_bytes() == before
    assert [p.name for p in story.old_records.parent.iterdir()] == ["records.db"]


# Who comes back ---------------------------------------------------------------------------------


def test_who_comes_back_is_kept_and_their_old_rows_are_not(story):
    put(story.store, story.patients[0][:2])
    assert len(story.store.of_patient(story.gone)) == 2
    story.store.close()
    shutil.copy(story.old_records, story.data / "records.db")  # the rows of before the erasure
    again = open_in(story.data)
    assert story.gone not in again.patients()
    put(again, story.patients[0][:3])
    assert len(again.of_patient(story.gone)) == 3
    again.close()


def test_an_old_row_beside_new_ones_of_who_came_back_is_deleted(story):
    put(story.store, story.patients[0][:2])
    story.store.close()
    db = apsw.Connection(str(story.data / "records.db"))
    db.execute(f"PRAGMA key = 'raw:{story.page_key.hex()}'")
    db.execute(f"ATTACH ? AS old KEY 'raw:{story.page_key.hex()}'", (str(story.old_records),))
    db.execute("INSERT OR IGNORE INTO resources SELECT * FROM old.resources")
    db.execute("INSERT OR IGNORE INTO heads SELECT * FROM old.heads")
    db.execute("DELETE FROM erasures")  # as in a backup of before the erasure
    db.close()
    again = open_in(story.data)
    assert len(again.of_patient(story.gone)) == 2
    identifier = story.patients[0][0]["identifier"][0]
    assert again.by_identifier(identifier["system"], identifier["value"]) == story.gone
    again.close()


def test_a_write_that_an_erasure_overtakes_writes_nothing(story):
    other = open_in(story.data)  # another process: its command erases while the node writes
    make = story.store.table.make

    async def overtaken(patients):
        await make(patients)
        keys = {patient: story.store.table.patient_keys(patient) for patient in patients}
        other.erase(story.kept, now_ms=NOW + 3)
        story.store.table.patient_keys = keys.get

    story.store.table.make = overtaken
    changed = copy.deepcopy(story.patients[1])
    with pytest.raises(KeyUnavailable) as caught:
        put(story.store, changed)
    assert caught.value.why == "erased"
    other.close()
    assert rows_of(story.data / "records.db", story.page_key, story.kept) == []


def test_an_erasure_that_was_killed_between_the_files_is_finished_by_the_next_opening(story):
    story.store.table.erase(story.kept, now_ms=NOW + 3)  # the first half of `erase`
    story.store.close()
    again = open_in(story.data)
    assert again.patients() == [story.other]
    assert rows_of(story.data / "records.db", story.page_key, story.kept) == []
    assert Erasure(again.table.patient_token(story.kept), 1, NOW + 3) in again.table.erasures()
    again.close()
