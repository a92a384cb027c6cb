"""Large objects by segment: lists, stores, and work that was interrupted and goes on."""

import asyncio
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concura.adapters.objects import FolderObjects, download, take_inventory, upload
from concura.errors import FileUnusable, HubUnreachable, NotFound, StreamRefused
from concura.ledger.merkle import leaf_hash, root
from concura.sealing.inventory import Inventory, read_inventory
from concura.sealing.stream import SMALL, SegmentTree, segment_digest
from concura.testing.objects import MemoryObjects

SIZE = SMALL.sealed_bytes(20_000)


@pytest.fixture
def stored(tmp_path):
    """Ciphertext as it was stored before its upload, a record ahead of it."""
    path = tmp_path / "package"
    path.write_bytes(b"record" + os.urandom(SIZE))
    return path


@pytest.fixture(params=["folder", "memory"])
def store(request, tmp_path):
    return FolderObjects(tmp_path / "objects") if request.param == "folder" else MemoryObjects()


def listed(path):
    with path.open("rb") as file:
        return take_inventory(file.fileno(), str(path), base=6, end=6 + SIZE, layout=SMALL)


def send(path, inventory, store):
    with path.open("rb") as file:
        return asyncio.run(upload(file.fileno(), str(path), inventory, store, base=6))


def fetch(path, inventory, store):
    handle = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        return asyncio.run(download(handle, str(path), inventory, store))
    finally:
        os.close(handle)


class Failing:
    """A store whose way breaks after some calls."""

    def __init__(self, store, calls):
        self._store, self._left = store, calls

    def __getattr__(self, name):
        work = getattr(self._store, name)

        async def call(*words):
            if name in {"put_segment", "segment"}:
                self._left -= 1
                if self._left < 0:
                    raise HubUnreachable(url="hub", detail="reset")
            return await work(*words)

        return call


@given(st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=40))
def test_the_small_tree_is_the_ledgers_tree(digests):
    tree = SegmentTree()
    for digest in digests:
        tree.append(digest)
    assert tree.root() == root([leaf_hash(digest) for digest in digests])


def test_an_upload_goes_on_where_it_stopped(stored, store):
    inventory = listed(stored)
    with pytest.raises(HubUnreachable):
        send(stored, inventory, Failing(store, 2))
    assert asyncio.run(store.segments(inventory.root)) == {0, 1}

    assert send(stored, inventory, store) == 3
    assert send(stored, inventory, store) == 0


def test_a_download_goes_on_where_it_stopped(stored, store, tmp_path):
    inventory, part = listed(stored), tmp_path / "part"
    send(stored, inventory, store)
    with pytest.raises(HubUnreachable):
        fetch(part, inventory, Failing(store, 3))

    assert fetch(part, inventory, store) == 2
    assert part.read_bytes() == stored.read_bytes()[6:]
    assert fetch(part, inventory, store) == 0


def test_a_spoiled_part_of_a_download_is_fetched_again(stored, store, tmp_path):
    inventory, part = listed(stored), tmp_path / "part"
    send(stored, inventory, store)
    data = bytearray(stored.read_bytes()[6:] + b"left over")
    data[5_000] ^= 1
    part.write_bytes(data)

    assert fetch(part, inventory, store) == 1
    assert part.read_bytes() == stored.read_bytes()[6:]


def test_a_foreign_segment_is_never_written(stored, store, tmp_path):
    inventory, part = listed(stored), tmp_path / "part"
    send(stored, inventory, store)
    asyncio.run(store.put_segment(inventory.root, 1, bytes(4096)))

    with pytest.raises(StreamRefused) as caught:
        fetch(part, inventory, store)

    assert (caught.value.why, caught.value.values) == ("foreign", {"number": 1})
    assert part.read_bytes() == stored.read_bytes()[6 : 6 + 4096]


def test_what_was_sealed_anew_is_not_sent_under_the_old_list(stored, store):
    inventory = listed(stored)
    stored.write_bytes(b"record" + os.urandom(SIZE))

    with pytest.raises(FileUnusable) as caught:
        send(stored, inventory, store)

    assert caught.value.why == "changed"
    assert asyncio.run(store.segments(inventory.root)) == frozenset()


def test_a_delivered_object_is_gone(stored, store):
    inventory = listed(stored)
    send(stored, inventory, store)
    asyncio.run(store.delete_object(inventory.root))

    assert asyncio.run(store.segments(inventory.root)) == frozenset()
    with pytest.raises(NotFound):
        asyncio.run(store.segment(inventory.root, 0))


@pytest.mark.parametrize("name", ["", "..", "../../etc", "A" * 64, "0" * 63])
def test_only_a_digest_names_an_object(tmp_path, name):
    with pytest.raises(NotFound):
        asyncio.run(FolderObjects(tmp_path).put_segment(name, 0, b""))


def test_a_list_comes_back_and_a_changed_one_is_refused(stored):
    inventory = listed(stored)
    data = inventory.encoded()

    assert read_inventory(data) == inventory
    inventory.check(inventory.root, sealed_bytes=SIZE)
    with pytest.raises(StreamRefused):
        inventory.check("0" * 64, sealed_bytes=SIZE)
    for place in range(0, len(data), 3):
        spoiled = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        with pytest.raises(StreamRefused):
            read_inventory(spoiled).check(inventory.root, sealed_bytes=SIZE)


@given(st.binary(max_size=100))
def test_any_bytes_are_a_list_or_refused(data):
    with pytest.raises(StreamRefused):
        read_inventory(data)


def test_a_list_with_too_few_segments_is_none():
    with pytest.raises(StreamRefused):
        Inventory.of((segment_digest(b"x"),), layout=SMALL, sealed_bytes=5_000)
