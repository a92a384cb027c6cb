"""The record store: one behaviour in memory and on disk, and on disk nothing to read for a thief."""

import asyncio
import copy
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from concura.adapters.sqlite_records import SqliteRecords
from concura.adapters.system import SystemRandomness
from concura.adapters.table_files import shipped_folder
from concura.errors import KeyUnavailable, NotFound, ResourceInvalid, StoreCorrupt
from concura.records import extract, patient_name
from concura.sealing.rows import unwrap_key, wrap_key
from concura.testing.records import MemoryRecords


class Root:
    """As much of a key store as the record store uses."""

    def __init__(self, root=b"r" * 32):
        self.root = root

    def wrap_aes(self, key):
        return wrap_key(self.root, key)

    def unwrap_aes(self, wrapped):
        return unwrap_key(self.root, wrapped)


def on_disk(folder, root=b"r" * 32):
    return SqliteRecords(folder, Root(root), SystemRandomness())


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    if request.param == "memory":
        yield MemoryRecords(randomness=SystemRandomness())
        return
    opened = on_disk(tmp_path / "records")
    yield opened
    opened.close()


@pytest.fixture
def disk(tmp_path):
    opened = on_disk(tmp_path / "records")
    yield opened
    opened.close()


def some(count=3):
    found = shipped_folder().resources("hospital-d")
    return [next(found) for _ in range(count)]


def put(store, resources):
    return asyncio.run(store.put(resources))


# One behaviour ----------------------------------------------------------------------------------


def test_what_is_put_is_read_back_whole(store):
    first, second, _ = patients = some()
    placed = put(store, [r for found in patients for r in found])
    assert all(version == 1 for _, _, version in placed)
    for resource in first:
        assert store.get(resource["resourceType"], resource["id"]).body == resource
    assert store.get("Patient", "nobody") is None
    of_second = store.of_patient(second[0]["id"])
    assert of_second[0].body == second[0]
    assert sorted((r.body for r in of_second), key=str) == sorted(second, key=str)
    assert store.patients() == sorted(found[0]["id"] for found in patients)
    assert store.counts()["Patient"] == 3
    assert sum(store.counts().values()) == len(placed)


def test_phi_from_the_store_is_phi_from_the_table(store):
    folder = shipped_folder()
    for found in some():
        put(store, found)
        again = [r.body for r in store.of_patient(found[0]["id"])]
        expected = extract(found, folder.features)
        assert extract(again, folder.features).values.tolist() == expected.values.tolist()


def test_decimals_and_other_scripts_are_kept(store):
    (found,) = some(1)
    found[0]["name"] = [{"family": "王", "given": ["小明"]}]
    found[3]["valueQuantity"] = {"value": 25.54051, "system": "http://unitsofmeasure.org"}
    put(store, found[:4])
    assert store.get(found[3]["resourceType"], found[3]["id"]).body == found[3]
    assert patient_name(store.get("Patient", found[0]["id"]).body) == "小明 王"


def test_a_second_put_is_a_new_version(store):
    (found,) = some(1)
    put(store, found)
    changed = copy.deepcopy(found[0]) | {"gender": "other"}
    assert put(store, [changed]) == [("Patient", found[0]["id"], 2)]
    assert store.get("Patient", found[0]["id"]).version == 2
    assert store.get("Patient", found[0]["id"]).body == changed
    assert len(store.of_patient(found[0]["id"])) == len(found)


def test_one_bad_resource_stores_none_of_them(store):
    (found,) = some(1)
    with pytest.raises(ResourceInvalid):
        put(store, [*found, {"resourceType": "Banana", "id": "x"}])
    assert store.patients() == []
    assert store.counts() == {}


def test_a_resource_of_an_unknown_patient_is_refused(store):
    (found,) = some(1)
    with pytest.raises(ResourceInvalid):
        put(store, found[1:])
    assert store.counts() == {}


def test_a_resource_cannot_change_its_patient(store):
    first, second, _ = some()
    put(store, first + second)
    stolen = copy.deepcopy(first[2]) | {"subject": {"reference": f"Patient/{second[0]['id']}"}}
    with pytest.raises(ResourceInvalid):
        put(store, [stolen])
    assert store.get(stolen["resourceType"], stolen["id"]).body == first[2]


def test_a_patient_is_found_by_identifier_and_by_the_newest_only(store):
    first, second, _ = some()
    put(store, first + second)
    known = first[0]["identifier"][0]
    assert store.by_identifier(known["system"], known["value"]) == first[0]["id"]
    assert store.by_identifier(known["system"], "none") is None
    assert store.by_identifier("other", known["value"]) is None
    changed = copy.deepcopy(first[0])
    changed["identifier"][0]["value"] = "NEW-1"
    put(store, [changed])
    assert store.by_identifier(known["system"], known["value"]) is None
    assert store.by_identifier(known["system"], "NEW-1") == first[0]["id"]


def test_an_identifier_that_two_patients_share_finds_neither(store):
    first, second, _ = some()
    second[0]["identifier"] = copy.deepcopy(first[0]["identifier"])
    put(store, first + second)
    shared = first[0]["identifier"][0]
    assert store.by_identifier(shared["system"], shared["value"]) is None


def test_every_patient_has_a_pseudonym_key_of_its_own_that_stays(store):
    first, second, _ = some()
    put(store, first + second)
    keys = [store.pseudonym_key(found[0]["id"]) for found in (first, second)]
    assert len(set(keys)) == 2
    assert {len(key) for key in keys} == {32}
    put(store, first)
    assert store.pseudonym_key(first[0]["id"]) == keys[0]
    with pytest.raises(NotFound):
        store.pseudonym_key("nobody")


def test_many_puts_at_once_all_land(store):
    async def all_at_once():
        await asyncio.gather(*(store.put(found) for found in some(12)))

    asyncio.run(all_at_once())
    assert len(store.patients()) == 12


# On disk ----------------------------------------------------------------------------------------


def test_closed_and_opened_again_nothing_is_lost_and_keys_are_the_same(tmp_path):
    store = on_disk(tmp_path)
    found = some(1)[0]
    put(store, found)
    key = store.pseudonym_key(found[0]["id"])
    store.close()
    again = on_disk(tmp_path)
    assert again.pseudonym_key(found[0]["id"]) == key
    assert len(again.of_patient(found[0]["id"])) == len(found)
    again.close()


def test_keys_for_other_files_differ_by_name_and_stay(tmp_path):
    store = on_disk(tmp_path)
    keys = {name: store.file_key(name) for name in ("access", "node")}
    store.close()
    again = on_disk(tmp_path)
    assert {name: again.file_key(name) for name in keys} == keys
    assert len({*keys.values(), again._store_key("pages")}) == 3
    again.close()


def test_a_stolen_folder_shows_no_name_value_code_date_or_id(tmp_path):
    store = on_disk(tmp_path)
    found = some(1)[0]
    found[0]["name"] = [{"family": "Plantedfamily", "given": ["Plantedgiven"]}]
    put(store, [r for one in (found, *some(3)[1:]) for r in one])
    before_close = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    store.close()
    marks = ["Plantedfamily", "Plantedgiven", found[0]["birthDate"], found[0]["id"], "8867-4"]
    marks += [found[0]["identifier"][0]["value"], "valueQuantity", "snomed", "Observation"]
    marks += [found[1]["period"]["start"]]
    files = [*before_close.values(), *(p.read_bytes() for p in tmp_path.iterdir())]
    assert {"records.db", "keys.db", "records.db-wal"} <= set(before_close)
    for mark in marks:
        for data in files:
            assert mark.encode() not in data
            assert mark.encode("utf-16-le") not in data


def test_files_are_readable_by_their_owner_alone(disk, tmp_path):
    put(disk, some(1)[0])
    folder = tmp_path / "records"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert all(p.stat().st_mode & 0o077 == 0 for p in folder.iterdir())


def _tamper(folder, store, *statements):
    """Change rows as a thief who even has the page key."""
    key = store._store_key("pages")
    store.close()
    with apsw.Connection(str(folder / "records.db")) as db:
        db.execute(f"PRAGMA key = 'raw:{key.hex()}'")
        for statement in statements:
            db.execute(statement)
    return on_disk(folder)


TWO = "(SELECT id FROM heads WHERE type = 'Observation' ORDER BY id LIMIT 1 OFFSET {})"


SWAPPED = f"""UPDATE resources SET body =
    (SELECT body FROM resources WHERE id = {TWO.format(1)}) WHERE id = {TWO.format(0)}"""
LONGER = f"UPDATE resources SET body = CAST(body || x'00' AS BLOB) WHERE id = {TWO.format(0)}"
AS_TEXT = f"UPDATE resources SET body = 'x' || body WHERE id = {TWO.format(0)}"
EMPTY = "UPDATE resources SET body = x''"


@pytest.mark.parametrize("change", [SWAPPED, LONGER, AS_TEXT, EMPTY])
def test_swapped_or_changed_rows_are_refused(tmp_path, change):
    store = on_disk(tmp_path)
    found = some(1)[0]
    put(store, found)
    store = _tamper(tmp_path, store, change)
    with pytest.raises(StoreCorrupt):
        store.of_patient(found[0]["id"])
    store.close()


def test_an_older_version_put_in_place_of_the_newest_is_refused(tmp_path):
    store = on_disk(tmp_path)
    found = some(1)[0]
    put(store, found)
    put(store, [found[0] | {"gender": "other"}])
    store = _tamper(
        tmp_path,
        store,
        "UPDATE resources SET body = (SELECT body FROM resources"
        " WHERE type = 'Patient' AND version = 1) WHERE type = 'Patient' AND version = 2",
    )
    with pytest.raises(StoreCorrupt):
        store.get("Patient", found[0]["id"])
    store.close()


def test_a_row_given_to_another_patient_is_refused(tmp_path):
    store = on_disk(tmp_path)
    first, second = some(2)
    put(store, first + second)
    moved = first[2]["id"]
    store = _tamper(
        tmp_path,
        store,
        f"UPDATE resources SET patient = '{second[0]['id']}' WHERE id = '{moved}'",
        f"UPDATE heads SET patient = '{second[0]['id']}' WHERE id = '{moved}'",
    )
    with pytest.raises(StoreCorrupt):
        store.of_patient(second[0]["id"])
    assert len(store.of_patient(first[0]["id"])) == len(first) - 1
    store.close()


def test_a_damaged_page_is_refused(tmp_path):
    store = on_disk(tmp_path)
    put(store, [r for found in some(20) for r in found])
    store.close()
    path = tmp_path / "records.db"
    data = bytearray(path.read_bytes())
    for place in range(len(data) // 2, len(data), 4096):
        data[place] ^= 1
    path.write_bytes(data)
    with pytest.raises(StoreCorrupt):  # noqa: PT012 - which page is read first is SQLite's affair
        again = on_disk(tmp_path)
        try:
            [again.of_patient(p) for p in again.patients()]
        finally:
            again.close()


def test_without_its_key_table_a_store_is_refused_and_no_new_table_is_made(tmp_path):
    store = on_disk(tmp_path)
    put(store, some(1)[0])
    store.close()
    (tmp_path / "keys.db").rename(tmp_path / "away.db")
    with pytest.raises(KeyUnavailable) as caught:
        on_disk(tmp_path)
    assert "keys.db" in caught.value.message("zh")
    assert not (tmp_path / "keys.db").exists()


def test_another_key_store_opens_nothing(tmp_path):
    on_disk(tmp_path).close()
    with pytest.raises(KeyUnavailable):
        on_disk(tmp_path, b"x" * 32)


def test_the_key_table_of_another_store_opens_nothing(tmp_path):
    for name in ("a", "b"):
        store = on_disk(tmp_path / name)
        put(store, some(1)[0])
        store.close()
    shutil.copy(tmp_path / "a" / "keys.db", tmp_path / "b" / "keys.db")
    with pytest.raises(StoreCorrupt):
        on_disk(tmp_path / "b")


WRITER = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_records_store import on_disk
from concura.adapters.table_files import shipped_folder
store = on_disk(Path(sys.argv[1]))
async def main():
    for found in shipped_folder().resources("hospital-a"):
        await store.put(found)
        print(found[0]["id"], flush=True)
asyncio.run(main())
"""


def test_a_writer_killed_at_any_moment_loses_nothing_that_it_acknowledged(tmp_path):
    for lines in (1, 20, 60):
        folder = tmp_path / str(lines)
        here = str(Path(__file__).parent)
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder), here],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        ) as writer:
            told = [writer.stdout.readline().strip() for _ in range(lines)]
            writer.send_signal(signal.SIGKILL)
            told += writer.stdout.read().splitlines()
        store = on_disk(folder)
        known = store.patients()
        assert told
        assert set(told) <= set(known)
        whole = {found[0]["id"]: len(found) for found in shipped_folder().resources("hospital-a")}
        for patient in known:  # never half a patient
            assert len(store.of_patient(patient)) == whole[patient]
        store.close()
