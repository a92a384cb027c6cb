import errno
import json
import os
import subprocess
import sys
import types

import pytest

from concura.adapters import folders
from concura.adapters.folders import atomic_write, claim, disk, enter, kind_of, log_file
from concura.adapters.locks import Lock, identity, is_alive
from concura.errors import AlreadyRunning, FolderFormat, FolderUnusable, StoreCorrupt, StoreFull


def mark(folder, kind="node", number=folders.FORMAT):
    folder.mkdir(exist_ok=True)
    (folder / "format.json").write_text(json.dumps({"concura": kind, "format": number}))


def test_a_new_folder_is_its_owners_alone_and_says_what_it_is(tmp_path):
    place = claim(tmp_path / "a" / "b", "node")
    assert place.is_new
    assert place.path.stat().st_mode & 0o777 == 0o700
    assert json.loads((place.path / "format.json").read_text()) == {"concura": "node", "format": 1}
    assert kind_of(place.path) == "node"


def test_claiming_twice_finds_the_folder_as_it_is(tmp_path):
    claim(tmp_path / "n", "node")
    assert not claim(tmp_path / "n", "node").is_new


@pytest.mark.parametrize("kind", ["hub", "consortium"])
def test_a_folder_of_another_kind_is_refused(tmp_path, kind):
    claim(tmp_path / "n", "node")
    with pytest.raises(FolderUnusable) as caught:
        claim(tmp_path / "n", kind)
    assert caught.value.why == "kind"


def test_a_folder_with_anything_else_in_it_is_left_untouched(tmp_path):
    (tmp_path / "thesis.txt").write_text("three years")
    with pytest.raises(FolderUnusable) as caught:
        claim(tmp_path, "node")
    assert caught.value.why == "foreign"
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_claim_that_was_killed_can_be_repeated(tmp_path):
    (tmp_path / ".format.json.k3j4.part").write_text("{")
    assert claim(tmp_path, "node").is_new


def test_a_file_and_a_missing_folder_are_told_apart(tmp_path):
    (tmp_path / "file").touch()
    for path, why in ((tmp_path / "file", "file"), (tmp_path / "none", "missing")):
        with pytest.raises(FolderUnusable) as caught:
            enter(path, "node")
        assert caught.value.why == why
        with pytest.raises(FolderUnusable):
            claim(tmp_path / "file", "node")


def test_a_newer_format_is_refused_and_left_untouched(tmp_path):
    mark(tmp_path / "n", number=folders.FORMAT + 1)
    with pytest.raises(FolderFormat) as caught:
        enter(tmp_path / "n", "node")
    assert str(folders.FORMAT + 1) in caught.value.message()
    assert [path.name for path in tmp_path.iterdir()] == ["n"]


def test_an_older_format_is_migrated_after_a_copy_was_put_beside_it(tmp_path):
    mark(tmp_path / "n", number=0)
    (tmp_path / "n" / "old").write_text("0")

    def migrate(path):
        (path / "old").rename(path / "new")

    enter(tmp_path / "n", "node", migrations={("node", 0): migrate})
    assert (tmp_path / "n" / "new").read_text() == "0"
    assert json.loads((tmp_path / "n" / "format.json").read_text())["format"] == 1
    copy = tmp_path / "n.format-0"
    assert (copy / "old").read_text() == "0"
    assert json.loads((copy / "format.json").read_text())["format"] == 0


def test_a_migration_that_failed_runs_again_and_keeps_the_first_copy(tmp_path):
    mark(tmp_path / "n", number=0)
    (tmp_path / "n" / "old").write_text("0")
    tries = []

    def migrate(path):
        tries.append(path)
        (path / "old").write_text("half")
        if len(tries) == 1:
            raise OSError(errno.ENOSPC, "full")

    with pytest.raises(StoreFull):
        enter(tmp_path / "n", "node", migrations={("node", 0): migrate})
    enter(tmp_path / "n", "node", migrations={("node", 0): migrate})
    assert (tmp_path / "n.format-0" / "old").read_text() == "0"


def test_an_older_format_without_a_migration_is_refused(tmp_path):
    mark(tmp_path / "n", number=0)
    with pytest.raises(FolderFormat) as caught:
        enter(tmp_path / "n", "node")
    assert caught.value.why == "old"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"concura":"node"}',
        '{"concura":"ship","format":1}',
        '{"concura":"node","format":-1}',
        '{"concura":"node","format":"1"}',
        '{"concura":["node"],"format":1}',
        "\udcff",
    ],
)
def test_a_damaged_mark_is_reported_and_nothing_is_guessed(tmp_path, text):
    (tmp_path / "format.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(StoreCorrupt):
        enter(tmp_path, "node")
    assert kind_of(tmp_path) is None


def test_a_written_file_has_the_wanted_permissions_and_no_remnants(tmp_path):
    atomic_write(tmp_path / "key", b"1")
    atomic_write(tmp_path / "key", b"2")
    atomic_write(tmp_path / "card", b"3", mode=0o644)
    assert (tmp_path / "key").read_bytes() == b"2"
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "card").stat().st_mode & 0o777 == 0o644
    assert sorted(path.name for path in tmp_path.iterdir()) == ["card", "key"]


def in_child(script, *words):
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        timeout=60,
    )


FULL = """
import resource, sys
from pathlib import Path
from concura.adapters.folders import atomic_write
from concura.errors import StoreFull
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    atomic_write(Path(sys.argv[1]), b"x" * 8192)
except StoreFull as error:
    print(error)
"""


def test_a_write_that_does_not_fit_leaves_the_old_file_whole(tmp_path):
    atomic_write(tmp_path / "state", b"old")
    found = in_child(FULL, tmp_path / "state")
    assert found.stdout.startswith(f"{tmp_path} has no room"), found.stderr
    assert (tmp_path / "state").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


CLOSED = """
import os, sys
from pathlib import Path
from concura.adapters.folders import claim
from concura.errors import FolderUnusable
if os.geteuid() == 0:
    os.seteuid(65534)
try:
    claim(Path(sys.argv[1]) / "n", "node")
except FolderUnusable as error:
    print(error.why)
"""


def test_a_read_only_folder_is_named(tmp_path):
    tmp_path.chmod(0o500)
    found = in_child(CLOSED, tmp_path)
    tmp_path.chmod(0o700)
    assert found.stdout == "readonly\n", found.stderr


@pytest.mark.parametrize(
    ("number", "kind", "why"),
    [
        (errno.ENOSPC, StoreFull, ""),
        (errno.EDQUOT, StoreFull, ""),
        (errno.EROFS, FolderUnusable, "readonly"),
        (errno.EACCES, FolderUnusable, "readonly"),
        (errno.ENAMETOOLONG, FolderUnusable, "name"),
        (errno.EIO, FolderUnusable, ""),
    ],
)
def test_what_a_disk_says_becomes_a_sentence_in_both_languages(tmp_path, number, kind, why):
    with pytest.raises(kind) as caught, disk(tmp_path):
        raise OSError(number, os.strerror(number))
    assert caught.value.why == why
    for lang in ("en", "zh"):
        assert str(tmp_path) in caught.value.message(lang)
        assert caught.value.hint(lang)


def test_logs_of_a_consortium_lie_together(tmp_path):
    claim(tmp_path, "consortium")
    claim(tmp_path / "hub", "hub")
    assert log_file(tmp_path / "hub") == tmp_path / "logs" / "hub.jsonl"
    assert log_file(tmp_path / "hub" / "x") == tmp_path / "hub" / "x" / "logs" / "x.jsonl"


# Locks ---------------------------------------------------------------------------------------


def test_a_lock_keeps_others_out_and_names_its_holder(tmp_path):
    with Lock(tmp_path):
        with pytest.raises(AlreadyRunning) as caught, Lock(tmp_path):
            pass
        assert caught.value.values["pid"] == os.getpid()
    with Lock(tmp_path):
        pass


def test_a_lock_in_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(FolderUnusable), Lock(tmp_path / "none"):
        pass


def test_a_number_in_use_by_another_process_is_not_taken_for_the_first(tmp_path):
    here = identity(os.getpid())
    assert is_alive(os.getpid(), here)
    assert not is_alive(os.getpid(), here + "0")
    assert not is_alive(os.getpid(), "")
    assert identity(-1) == identity(0) == ""


def test_a_process_that_waits_to_be_reaped_has_ended():
    child = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    started = identity(child.pid)
    assert started
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not is_alive(child.pid, started)
    child.communicate()


def test_the_table_of_migrations_leads_to_the_present_format():
    assert all(
        0 <= number < folders.FORMAT and kind in folders.KINDS
        for kind, number in folders.MIGRATIONS
    )
    assert all(isinstance(step, types.FunctionType) for step in folders.MIGRATIONS.values())
