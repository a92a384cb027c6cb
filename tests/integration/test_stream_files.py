"""`.sealed` files: what is promised of them, and every way in which one is spoiled."""

import io
import os
import resource
import tarfile
import threading
import tracemalloc
from pathlib import Path

import pytest

from concura.adapters import files
from concura.adapters.archives import tar_chunks
from concura.adapters.files import open_package, read_package, read_part, seal_package, unlock
from concura.adapters.keys_file import FileKeyStore
from concura.adapters.system import SystemRandomness
from concura.adapters.targets import new_file, new_folder, open_input
from concura.errors import (
    ConcuraError,
    EnvelopeRefused,
    FileUnusable,
    StoreFull,
    StreamRefused,
)
from concura.sealing import fingerprint
from concura.sealing.stream import LARGE, SMALL

NOW_MS = 1_800_000_000_000


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    place = tmp_path_factory.mktemp("people")
    return [FileKeyStore.create(place / name) for name in ("alice", "bob", "carol")]


def nothing(_count):
    pass


def seal(people, source, target, *, readers=(1,), name="n", layout=SMALL, **more):
    alice = people[0]
    with open_input(source) as found, new_file(target, force=True, mode=0o600) as handle:
        return seal_package(
            source if more.pop("folder", False) else found,
            handle,
            name=name,
            keys=alice,
            recipients=[people[number].public("wrap") for number in readers],
            randomness=SystemRandomness(),
            time_ms=NOW_MS,
            advance=nothing,
            layout=layout,
            **more,
        )


def seal_folder(people, folder, target):
    with new_file(target, force=True, mode=0o600) as handle:
        seal_package(
            folder,
            handle,
            name=folder.name,
            keys=people[0],
            recipients=[people[1].public("wrap")],
            randomness=SystemRandomness(),
            time_ms=NOW_MS,
            advance=nothing,
            layout=SMALL,
        )


def unpack(people, path, target, *, reader=1):
    with open_input(path) as found:
        unlocked = unlock(read_package(found), people[reader])
        if unlocked.manifest.content == "folder":
            with new_folder(target) as place:
                open_package(unlocked, place, advance=nothing, by_position=False)
        else:
            with new_file(target, force=False, mode=0o600) as handle:
                open_package(unlocked, handle, advance=nothing, by_position=True)
    return unlocked


@pytest.fixture
def package(people, tmp_path):
    source, target = tmp_path / "plain", tmp_path / "plain.sealed"
    source.write_bytes(os.urandom(9_000))
    seal(people, source, target, readers=(1, 2))
    return target


def refusal(people, path, tmp_path, reader=1):
    """Return why a package is refused; nothing of a target may stay."""
    out = tmp_path / "out"
    with pytest.raises(ConcuraError) as caught:
        unpack(people, path, out, reader=reader)
    assert not out.exists()
    assert [left.name for left in tmp_path.iterdir() if ".part" in left.name] == []
    return type(caught.value), caught.value.why


def test_each_reader_opens_what_was_sealed_and_knows_the_sender(people, package, tmp_path):
    for number in (1, 2):
        unlocked = unpack(people, package, tmp_path / f"out{number}", reader=number)
        assert (tmp_path / f"out{number}").read_bytes() == (tmp_path / "plain").read_bytes()
        assert unlocked.sender == fingerprint(people[0].public("sign"))
        assert (unlocked.manifest.name, unlocked.manifest.time_ms) == ("n", NOW_MS)


def test_who_was_not_named_opens_nothing(people, package, tmp_path):
    assert refusal(people, package, tmp_path, reader=0) == (EnvelopeRefused, "reader")


def test_sender_name_and_time_do_not_stand_outside(people, tmp_path):
    source = tmp_path / "plain"
    source.write_bytes(b"diagnosis " * 100)
    seal(people, source, tmp_path / "s", name="Wang-Xiaoming.txt")

    data = (tmp_path / "s").read_bytes()

    shown = [b"Wang", b"diagnosis", fingerprint(people[0].public("sign")).encode()]
    assert [text for text in shown if text in data] == []
    assert fingerprint(people[1].public("wrap")).encode() in data


@pytest.mark.parametrize("size", [0, 1, 4039, 4040, 4041, 8120, 8121])
@pytest.mark.parametrize("workers", [1, 2, 5])
def test_objects_of_every_border_size_come_back(people, tmp_path, size, workers):
    source = tmp_path / "plain"
    source.write_bytes(os.urandom(size))
    seal(people, source, tmp_path / "s", workers=workers)

    unpack(people, tmp_path / "s", tmp_path / "out")

    assert (tmp_path / "out").read_bytes() == source.read_bytes()


def test_a_part_is_read_without_the_rest(people, package, tmp_path):
    plain = (tmp_path / "plain").read_bytes()
    data = bytearray(package.read_bytes())
    data[-1] ^= 1  # the last segment; a part elsewhere does not look at it
    package.write_bytes(data)

    with open_input(package) as found:
        unlocked = unlock(read_package(found), people[1])
        assert read_part(unlocked, 4_000, 100) == plain[4_000:4_100]
        with pytest.raises(StreamRefused):
            read_part(unlocked, 8_990, 100)


def test_every_truncation_is_refused(people, package, tmp_path):
    data = package.read_bytes()
    found = set()
    cut = tmp_path / "cut"
    for length in [*range(40), *range(40, len(data), 311), len(data) - 1]:
        cut.write_bytes(data[:length])
        found.add(refusal(people, cut, tmp_path))
    assert found == {(StreamRefused, "empty"), (StreamRefused, "magic"), (StreamRefused, "short")}


def test_every_tampering_is_refused_and_leaves_nothing(people, package, tmp_path):
    data = package.read_bytes()
    start = len(data) - SMALL.sealed_bytes(9_000)
    one, two, three = (data[start + i * 4096 : start + (i + 1) * 4096] for i in range(3))
    head = data[:start]
    spoiled = tmp_path / "spoiled"
    cases = {
        "magic": b"X" + data[1:],
        "record": data[:16] + b"\xff\xff\xff\xff" + data[20:],
        "long": data + b"\0",
        "short": head + one + two,
        "segment": head + one + one + three,
        "header": head + b"\x29" + data[start + 1 :],
    }
    for why, bytes_ in cases.items():
        spoiled.write_bytes(bytes_)
        assert refusal(people, spoiled, tmp_path) == (StreamRefused, why)


def test_sampled_flips_over_the_whole_file_are_refused(people, package, tmp_path):
    data = bytearray(package.read_bytes())
    spoiled = tmp_path / "spoiled"
    other = data.index(fingerprint(people[2].public("wrap")).encode())
    for place in range(0, len(data), 97):
        data[place] ^= 1 << place % 8
        spoiled.write_bytes(data)
        # Another reader's wrapped key is the one thing that this reader does not look into.
        if abs(place - other) > 900:
            refusal(people, spoiled, tmp_path)
        data[place] ^= 1 << place % 8


def test_a_reader_cannot_send_the_others_another_stream(people, package, tmp_path):
    # Bob knows the content key: he seals another object under it, of the same length.
    with open_input(package) as found:
        unlocked = unlock(read_package(found), people[1])
    size = unlocked.manifest.size_bytes
    forged = tmp_path / "forged"
    with open_input(package) as found:
        cipher = files._cipher(unlock(read_package(found), people[1]))
    data = bytearray(package.read_bytes())
    for number in range(SMALL.count(size)):
        length = SMALL.plain_length(number, size)
        room = bytearray(length + 16)
        cipher.seal(number, bytes(length), room, is_last=number == SMALL.count(size) - 1)
        place = unlocked.package.base + SMALL.sealed_start(number)
        data[place : place + len(room)] = room
    forged.write_bytes(data)

    assert refusal(people, forged, tmp_path, reader=2) == (StreamRefused, "root")


def test_a_record_cannot_be_put_ahead_of_another_stream(people, package, tmp_path):
    seal(people, tmp_path / "plain", tmp_path / "second", readers=(1, 2))
    one, two = package.read_bytes(), (tmp_path / "second").read_bytes()
    start = len(one) - SMALL.sealed_bytes(9_000)
    (tmp_path / "mixed").write_bytes(one[:start] + two[start:])

    assert refusal(people, tmp_path / "mixed", tmp_path) == (StreamRefused, "segment")


def test_two_packages_of_one_file_share_no_key_salt_or_number(people, tmp_path):
    source = tmp_path / "plain"
    source.write_bytes(b"the same")
    seen = set()
    for _ in range(8):
        seal(people, source, tmp_path / "s")
        with open_input(tmp_path / "s") as found:
            unlocked = unlock(read_package(found), people[1])
        header = (tmp_path / "s").read_bytes()[unlocked.package.base :][:40]
        seen |= {unlocked.manifest.key, header[1:33], header[33:], unlocked.package.record.iv}
        seen.add(unlocked.package.record.transfer)
    assert len(seen) == 5 * 8


def test_children_of_a_fork_draw_different_keys(people, tmp_path):
    source = tmp_path / "plain"
    source.write_bytes(b"the same")
    children = []
    for number in range(2):
        child = os.fork()
        if child == 0:
            try:
                seal(people, source, tmp_path / f"s{number}")
            finally:
                os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    keys = set()
    for number in range(2):
        with open_input(tmp_path / f"s{number}") as found:
            keys.add(unlock(read_package(found), people[1]).manifest.key)
    assert len(keys) == 2


def test_memory_does_not_grow_with_the_file(people, tmp_path):
    source = tmp_path / "plain"
    with source.open("wb") as file:
        file.truncate(48 * 1024 * 1024)
    tracemalloc.start()
    try:
        seal(people, source, tmp_path / "s", layout=LARGE, workers=2)
        unpack(people, tmp_path / "s", tmp_path / "out")
        assert tracemalloc.get_traced_memory()[1] < 12 * 1024 * 1024
    finally:
        tracemalloc.stop()


# Sources and targets that do not do what they should ------------------------------------------


def test_a_file_that_shrinks_while_it_is_sealed_leaves_no_target(people, tmp_path):
    source = tmp_path / "plain"
    source.write_bytes(bytes(100_000))

    class Cutting(SystemRandomness):
        def draw(self, count):
            os.truncate(source, 50_000)
            return super().draw(count)

    def cut():
        with (
            open_input(source) as found,
            new_file(tmp_path / "s", force=False, mode=0o600) as handle,
        ):
            seal_package(
                found,
                handle,
                name="",
                keys=people[0],
                recipients=[people[1].public("wrap")],
                randomness=Cutting(),
                time_ms=NOW_MS,
                advance=nothing,
            )

    with pytest.raises(FileUnusable) as caught:
        cut()

    assert caught.value.why == "changed"
    assert [path.name for path in tmp_path.iterdir()] == ["plain"]


def test_a_full_disk_leaves_the_target_as_it_was(people, tmp_path):
    source, target = tmp_path / "plain", tmp_path / "s"
    source.write_bytes(bytes(200_000))
    target.write_bytes(b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(StoreFull):
            seal(people, source, target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert target.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plain", "s"]


def test_a_pipe_has_no_parts(people, package):
    with package.open("rb") as file:
        data = file.read()
    read, write = os.pipe()
    writer = threading.Thread(target=lambda: (os.write(write, data), os.close(write)))
    writer.start()
    with open_input(Path(f"/dev/fd/{read}")) as found:
        unlocked = unlock(read_package(found), people[1])
        with pytest.raises(FileUnusable) as caught:
            read_part(unlocked, 0, 1)
    writer.join()
    os.close(read)
    assert caught.value.why == "pipe"


# Folders --------------------------------------------------------------------------------------


@pytest.fixture
def ward(tmp_path):
    folder = tmp_path / "ward"
    (folder / "empty").mkdir(parents=True)
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "报告.txt").write_text("结果")
    (folder / ("long" * 50)).write_bytes(os.urandom(70_000))
    (folder / "deep" / "er" / "run.sh").write_text("#!/bin/sh\n")
    (folder / "deep" / "er" / "run.sh").chmod(0o755)
    (folder / "zero").touch()
    return folder


def tree(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def test_a_folder_comes_back_as_it_was(people, ward, tmp_path):
    seal_folder(people, ward, tmp_path / "s")

    unpack(people, tmp_path / "s", tmp_path / "back")

    assert tree(tmp_path / "back") == tree(ward)
    assert (tmp_path / "back" / "deep/er/run.sh").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "back" / "zero").stat().st_mode & 0o777 == 0o600
    assert int((tmp_path / "back" / "zero").stat().st_mtime) == int((ward / "zero").stat().st_mtime)


def test_tar_reads_the_folders_stream(ward, tmp_path):
    (tmp_path / "t.tar").write_bytes(b"".join(tar_chunks(ward)))
    with tarfile.open(tmp_path / "t.tar") as archive:
        found = {info.name: info.size for info in archive if info.isreg()}
    assert found == {name: len(data) for name, data in tree(ward).items() if data is not None}


@pytest.mark.parametrize("kind", ["link", "pipe", "closed"])
def test_what_is_no_file_is_never_left_out_in_silence(people, ward, tmp_path, kind):
    if kind == "link":
        (ward / "x").symlink_to("zero")
    elif kind == "pipe":
        os.mkfifo(ward / "x")
    else:
        (ward / "x").mkdir()
        (ward / "x").chmod(0)
        if os.geteuid() == 0:
            pytest.skip("platform: nothing is unreadable to this user")
    with pytest.raises(FileUnusable):
        seal_folder(people, ward, tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_a_file_that_vanishes_from_a_folder_midway_is_said(ward):
    pieces = tar_chunks(ward)
    next(pieces)
    (ward / "zero").unlink()

    with pytest.raises(FileUnusable) as caught:
        list(pieces)

    assert caught.value.why == "changed"


def tar_of(members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, kind in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "zero"
            info.size = 3 if kind == tarfile.REGTYPE else 0
            archive.addfile(info, io.BytesIO(b"abc"))
    return out.getvalue()


@pytest.mark.parametrize(
    "members",
    [
        [("/etc/evil", b"0")],
        [("../evil", b"0")],
        [("a/../../evil", b"0")],
        [("a", b"2")],
        [("a", b"1")],
        [("a", b"3")],
        [("a", b"6")],
        [("a", b"0"), ("a", b"0")],
        [("/".join("d" * 200), b"0")],
    ],
    ids=["absolute", "up", "up-later", "symlink", "hardlink", "device", "pipe", "twice", "deep"],
)
def test_an_archive_cannot_reach_out_of_its_folder(people, tmp_path, members, monkeypatch):
    data = tar_of(members)
    monkeypatch.setattr(files, "tar_chunks", lambda _folder: iter([data]))
    seal_folder(people, tmp_path, tmp_path / "s")

    assert refusal(people, tmp_path / "s", tmp_path) == (StreamRefused, "archive")
    assert not (tmp_path.parent / "evil").exists()


@pytest.mark.parametrize("data", [b"", b"no archive" * 200, tar_of([("a", b"0")])[:600]])
def test_an_archive_that_is_none_is_refused(people, tmp_path, data, monkeypatch):
    monkeypatch.setattr(files, "tar_chunks", lambda _folder: iter([data]))
    seal_folder(people, tmp_path, tmp_path / "s")

    assert refusal(people, tmp_path / "s", tmp_path) == (StreamRefused, "archive")
