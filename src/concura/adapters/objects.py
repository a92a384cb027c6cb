"""Sealed large objects in a folder, and their way in and out by segment, resumed where it stopped.

An upload sends stored ciphertext, never anything sealed anew: a segment sealed twice under one salt
would be two texts under one nonce. A download keeps what it has if its digest is the listed one.

This module does NOT seal or open, and does NOT know who may fetch what: the hub's mailbox does.
"""

import asyncio
import os
import re
import shutil
from pathlib import Path
from typing import Final

from concura.adapters.folders import atomic_write, disk
from concura.adapters.segments import read_at, write_at
from concura.errors import FileUnusable, NotFound, StreamRefused
from concura.limits import STREAM_SEGMENTS_MAX
from concura.ports import ObjectStore
from concura.sealing.inventory import Inventory
from concura.sealing.stream import LARGE, Layout, segment_digest
from concura.types import Digest

__all__ = ["FolderObjects", "download", "take_inventory", "upload"]

_ROOT: Final = re.compile(r"[0-9a-f]{64}")
_NUMBER: Final = re.compile(r"[0-9a-f]{8}")


class FolderObjects:
    """Segments as files, one folder for each object (`ports.ObjectStore`).

    Args:
        folder: where; made if it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with disk(folder):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    async def put_segment(self, root: Digest, number: int, data: bytes) -> None:
        """Keep one segment, synced, whole or not at all."""
        path = self._path(root, number)
        await asyncio.to_thread(self._put, path, data)

    async def segment(self, root: Digest, number: int) -> bytes:
        """Return one segment.

        Raises:
            NotFound: it is not here.
        """
        path = self._path(root, number)
        try:
            return await asyncio.to_thread(path.read_bytes)
        except FileNotFoundError as error:
            raise NotFound(what=f"{root[:16]}/{number}") from error
        except OSError as error:
            raise FileUnusable("unreadable", file=str(path), detail=error.strerror) from error

    async def segments(self, root: Digest) -> frozenset[int]:
        """Return the numbers of the segments that are here."""
        place = self._path(root, 0).parent
        if not place.is_dir():
            return frozenset()
        names = await asyncio.to_thread(os.listdir, place)
        return frozenset(int(name, 16) for name in names if _NUMBER.fullmatch(name))

    async def delete_object(self, root: Digest) -> None:
        """Remove an object's segments."""
        await asyncio.to_thread(shutil.rmtree, self._path(root, 0).parent, ignore_errors=True)

    def _put(self, path: Path, data: bytes) -> None:
        with disk(path.parent):
            path.parent.mkdir(mode=0o700, exist_ok=True)
        atomic_write(path, data)

    def _path(self, root: Digest, number: int) -> Path:
        # The name comes from a stranger: nothing but a digest may become a folder's name.
        if not _ROOT.fullmatch(root) or not 0 <= number < STREAM_SEGMENTS_MAX:
            raise NotFound(what="object")
        return self._folder / root / f"{number:08x}"


def take_inventory(
    handle: int, name: str, *, base: int, end: int, layout: Layout = LARGE
) -> Inventory:
    """List the segments of a stored stream.

    Args:
        handle: open for reading.
        name: for errors.
        base: where in the file the stream begins.
        end: where in the file it ends.
        layout: where segments begin.

    Raises:
        StreamRefused: `size`: no stream has this length.
        FileUnusable: it cannot be read.
    """
    size = layout.segment_bytes
    room = memoryview(bytearray(size))
    digests = []
    for start in range(base, end, size):
        length = min(size, end - start)
        if read_at(handle, room[:length], start, name) < length:
            raise FileUnusable("changed", file=name)
        digests.append(segment_digest(room[:length]))
    return Inventory.of(tuple(digests), layout=layout, sealed_bytes=end - base)


async def upload(
    handle: int, name: str, inventory: Inventory, store: ObjectStore, *, base: int = 0
) -> int:
    """Send the segments of a stored stream that the store does not have yet.

    Args:
        handle: the stored ciphertext, open for reading.
        name: for errors.
        inventory: of this stream.
        store: where to.
        base: where in the file the stream begins.

    Returns:
        How many segments were sent.

    Raises:
        FileUnusable: `changed`: the stored ciphertext is not the listed one any more.
        ConcuraError: what the store says; call again to go on.
    """
    there, sent = await store.segments(inventory.root), 0
    for number in range(len(inventory.digests)):
        if number in there:
            continue
        start, length = inventory.span(number)
        room = memoryview(bytearray(length))
        await asyncio.to_thread(read_at, handle, room, base + start, name)
        if not inventory.has(number, room):
            raise FileUnusable("changed", file=name)
        await store.put_segment(inventory.root, number, bytes(room))
        sent += 1
    return sent


async def download(
    handle: int, name: str, inventory: Inventory, store: ObjectStore, *, base: int = 0
) -> int:
    """Fetch the segments of a stream that a file does not hold yet.

    Args:
        handle: open for reading and writing: empty, or what an interrupted download left.
        name: for errors.
        inventory: of the stream; `Inventory.check` MUST have said that it is.
        store: where from.
        base: where in the file the stream begins.

    Returns:
        How many segments were fetched.

    Raises:
        StreamRefused: `foreign`: the store gave another segment; nothing of it was written.
        NotFound: a segment is not there (yet); call again to go on.
        StoreFull, FolderUnusable: the file cannot be written.
    """
    fetched = 0
    for number in range(len(inventory.digests)):
        start, length = inventory.span(number)
        room = memoryview(bytearray(length))
        count = await asyncio.to_thread(read_at, handle, room, base + start, name)
        if inventory.has(number, room[:count]):
            continue
        data = await store.segment(inventory.root, number)
        if not inventory.has(number, data):
            raise StreamRefused("foreign", number=number)
        with disk(Path(name).parent):
            await asyncio.to_thread(write_at, handle, data, base + start)
        fetched += 1
    with disk(Path(name).parent):
        os.ftruncate(handle, base + inventory.sealed_bytes)
        os.fsync(handle)
    return fetched
