"""`concura keys` on a node's folder: rotate, rewrap, erase, backup, restore, split, recover."""

import asyncio
import json
import shutil

import pytest

from concura.adapters.folders import claim
from concura.adapters.key_locks import FileLock
from concura.adapters.keys_file import FileKeyStore
from concura.adapters.locks import Lock
from concura.adapters.sqlite_records import SqliteRecords
from concura.adapters.system import SystemRandomness
from concura.adapters.table_files import shipped_folder
from concura.cli import main
from concura.cli.keys_shares import _make
from concura.errors import KeyUnavailable
from concura.sealing import read_receipt


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A node's folder with three patients; RSA keys take long to draw, so it is made once."""
    place = tmp_path_factory.mktemp("made") / "node"
    claim(place, "node")
    FileKeyStore.create(place / "keys")
    store = open_records(place)
    found = shipped_folder().resources("hospital-d")
    for _ in range(3):
        asyncio.run(store.put(next(found)))
    store.close()
    return place


@pytest.fixture
def node(made, tmp_path):
    shutil.copytree(made, tmp_path / "node")
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    return tmp_path / "node"


def open_records(place):
    keys = FileKeyStore.open(place / "keys")
    return SqliteRecords(place / "data", keys, SystemRandomness())


def patients(place):
    store = open_records(place)
    found = {p: len(store.of_patient(p)) for p in store.patients()}
    store.close()
    return found


def run(capsys, *words):
    code = main(["keys", *map(str, words)])
    out, err = capsys.readouterr()
    return code, out, err


def run_json(capsys, *words):
    code, out, _ = run(capsys, *words, "--json")
    return code, json.loads(out)


def test_rotate_and_rewrap_say_what_they_did_and_lose_nobody(capsys, node):
    before = patients(node)
    assert run_json(capsys, "rotate", node) == (0, {"epoch": 2, "pending": 3})
    code, out, _ = run(capsys, "rewrap", node, "--lang", "en")
    assert (code, out[:19]) == (0, "3 patients' keys we")
    assert "epoch 2" in out
    assert patients(node) == before


def test_an_erasure_must_be_meant(capsys, node):
    code, _, err = run(capsys, "erase", node, "--patient", next(iter(patients(node))))
    assert code == 2
    assert "--yes" in err
    assert len(patients(node)) == 3


def test_an_erasure_gives_a_receipt_and_names_the_backups_that_hold_the_key(capsys, node):
    copy = node.parent / "b" / "keys.db"
    assert run(capsys, "backup", node, "--table", copy)[0] == 0
    gone, *_ = before = patients(node)
    code, said = run_json(capsys, "erase", node, "--patient", gone, "--yes")
    assert code == 0
    assert said["backups"] == [str(copy)]
    assert said["rewrapped"] is True
    (one,) = said["erased"]
    assert one["complete_ms"] - one["deleted_ms"] == 30 * 24 * 3_600_000
    assert patients(node) == {p: n for p, n in before.items() if p != gone}
    receipt = (node / "erasures").iterdir()
    public = FileKeyStore.open(node / "keys").public("sign")
    erasure = read_receipt(next(receipt).read_bytes(), public=public)
    assert erasure.time_ms == one["deleted_ms"]
    assert gone not in one["receipt"]


def test_an_erasure_may_leave_the_rewrap_to_a_later_command(capsys, node):
    gone, *_ = patients(node)
    code, out, _ = run(capsys, "erase", node, "--patient", gone, "--yes", "--later")
    assert code == 0
    assert f"concura keys rewrap {node}" in out
    code, said = run_json(capsys, "rewrap", node)
    assert (code, said["epoch"], said["rewrapped"]) == (0, 2, 2)


def test_an_unknown_patient_is_not_found(capsys, node):
    code, _, err = run(capsys, "erase", node, "--patient", "stranger", "--yes")
    assert code == 24
    assert "stranger" not in err


def test_backups_put_back_hold_everyone_but_the_erased(capsys, node):
    records, table = node.parent / "a" / "records.db", node.parent / "b" / "keys.db"
    assert run(capsys, "backup", node, "--records", records, "--table", table)[0] == 0
    gone, *_ = before = patients(node)
    _, said = run_json(capsys, "erase", node, "--patient", gone, "--yes")
    left = {p: n for p, n in before.items() if p != gone}
    assert run(capsys, "restore", node, "--records", records)[0] == 12
    assert run_json(capsys, "restore", node, "--records", records, "--replace") == (
        0,
        {"unreadable": 0},
    )
    assert patients(node) == left
    receipt = node.parent / "receipt.json"
    shutil.copy(said["erased"][0]["receipt"], receipt)
    for name in ("records.db", "keys.db"):  # the disk is lost; the receipt is not
        (node / "data" / name).unlink()
    words = ["restore", node, "--table", table, "--records", records, "--receipt", receipt]
    assert run(capsys, *words)[0] == 0
    assert patients(node) == left


def test_a_changed_receipt_is_refused_and_nothing_is_put_back(capsys, node):
    records = node.parent / "a" / "records.db"
    run(capsys, "backup", node, "--records", records)
    bad = node.parent / "bad.json"
    bad.write_text("{}")
    for receipt in (bad, node.parent / "none.json"):
        code, _, err = run(
            capsys, "restore", node, "--records", records, "--replace", "--receipt", receipt
        )
        assert code == 60
        assert "receipt" in err.lower()
    assert len(patients(node)) == 3


def test_backups_go_to_two_folders_and_one_of_them_must_be_named(capsys, node):
    code, _, err = run(
        capsys, "backup", node, "--records", node.parent / "x", "--table", node.parent / "y"
    )
    assert (code, "different folders" in err) == (2, True)
    assert run(capsys, "backup", node)[0] == 2
    assert run(capsys, "restore", node)[0] == 2


def test_an_older_backup_elsewhere_is_named(capsys, node):
    first, second = node.parent / "a" / "keys.db", node.parent / "b" / "keys.db"
    run(capsys, "backup", node, "--table", first)
    code, said = run_json(capsys, "backup", node, "--table", second)
    assert (code, said["older"]) == (0, [str(first)])


def test_while_a_node_serves_its_folder_nothing_is_put_back_but_keys_turn(capsys, node):
    records = node.parent / "a" / "records.db"
    with Lock(node):
        assert run(capsys, "backup", node, "--records", records)[0] == 0
        assert run(capsys, "rotate", node)[0] == 0
        assert run(capsys, "restore", node, "--records", records, "--replace")[0] == 14
    with Lock(node / "data"):
        assert run(capsys, "rotate", node)[0] == 14


def test_a_node_without_a_key_table_is_told_so(capsys, tmp_path):
    claim(tmp_path / "node", "node")
    code, _, err = run(capsys, "rotate", tmp_path / "node")
    assert (code, "keys.db" in err) == (18, True)


# Shares -----------------------------------------------------------------------------------------


def split(capsys, node, *, threshold=2, count=3):
    code, said = run_json(
        capsys,
        "split",
        node,
        "--threshold",
        threshold,
        "--shares",
        count,
        "--to",
        node.parent / "s",
    )
    assert code == 0
    return said["shares"]


def given(paths):
    return [word for path in paths for word in ("--share", path)]


def test_a_lost_root_comes_back_from_enough_shares(capsys, node):
    before = patients(node)
    shares = split(capsys, node)
    root = (node / "keys" / "root.key").read_bytes()
    (node / "keys" / "root.key").unlink()
    code, _, err = run(capsys, "recover", node, *given(shares[:1]))
    assert (code, "2 are needed" in err) == (18, True)
    assert not (node / "keys" / "root.key").exists()
    assert run(capsys, "recover", node, *given(shares[1:]))[0] == 0
    assert (node / "keys" / "root.key").read_bytes() == root
    assert patients(node) == before
    assert run(capsys, "recover", node, *given(shares[1:]))[0] == 18  # never overwritten


def test_the_whole_key_folder_lost_the_records_are_readable_again(capsys, node):
    before = patients(node)
    shares = split(capsys, node)
    shutil.rmtree(node / "keys")
    code, said = run_json(capsys, "recover", node, *given(shares[:2]))
    assert (code, said["is_new"]) == (0, True)
    assert patients(node) == before


def test_shares_of_another_root_are_refused_and_leave_nothing(capsys, node, tmp_path):
    other = tmp_path / "other" / "node"
    shutil.copytree(node, other)
    shutil.rmtree(other / "data")
    root = (other / "keys" / "root.key").read_bytes()
    changed = root[:-6] + (b"A" if root[-6:-5] != b"A" else b"B") + root[-5:]
    (other / "keys" / "root.key").write_bytes(changed)
    shares = split(capsys, other)
    (node / "keys" / "root.key").unlink()
    code, _, err = run(capsys, "recover", node, *given(shares))
    assert (code, "keys.db" in err) == (18, True)
    assert not (node / "keys" / "root.key").exists()


def test_shares_are_private_files_that_hold_no_root_and_never_overwrite(capsys, node):
    shares = split(capsys, node)
    root = (node / "keys" / "root.key").read_text().split()[-1]
    folder = node.parent / "s"
    assert folder.stat().st_mode & 0o777 == 0o700
    for path in folder.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
        assert root not in path.read_text()
    words = ["--threshold", 2, "--shares", 3, "--to"]
    assert run(capsys, "split", node, *words, folder)[0] == 12
    assert run(capsys, "split", node, "--threshold", 4, "--shares", 3, "--to", folder)[0] == 18
    bad = folder / "bad.txt"
    bad.write_text("concura-share-v1 nothing")
    assert run(capsys, "recover", node, *given([bad]))[0] == 18
    (node / "keys" / "root.key").unlink()
    for path in (bad, folder / "none.txt"):
        assert run(capsys, "recover", node, *given([path]))[0] == 18
    assert shares


def test_the_root_of_a_token_is_not_shared(capsys, node):
    (node / "concura.toml").write_text('key_store = "awskms:alias/x?region=eu-central-1"\n')
    code, _, err = run(
        capsys, "split", node, "--threshold", 2, "--shares", 3, "--to", node.parent / "s"
    )
    assert (code, "awskms" in err) == (18, True)


def test_a_folder_that_is_made_around_a_root_can_be_locked_with_a_passphrase(tmp_path):
    _make(tmp_path / "keys", b"k" * 32, FileLock(lambda: b"correct horse"))
    store = FileKeyStore.open(tmp_path / "keys", passphrase=b"correct horse")
    assert store.unwrap_aes(store.wrap_aes(b"e" * 32)) == b"e" * 32
    with pytest.raises(KeyUnavailable):
        FileKeyStore.open(tmp_path / "keys", passphrase=b"wrong")
