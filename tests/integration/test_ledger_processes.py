"""What only real processes show: kill -9 of a writer, a miner that ends with its parent."""

import asyncio
import os
import select
import signal
import subprocess
import sys

import pytest

from concura.adapters.miner import ProcessMiner
from concura.adapters.sqlite_hub import SqliteHubStore
from concura.ledger import is_enough
from concura.testing.stores import InlineMiner

WRITER = """
import asyncio, sys
from pathlib import Path
from concura.adapters.sqlite_hub import SqliteHubStore

async def one(store, number):
    (position,) = await store.append([(f"{number:064x}", b"entry %d" % number)])
    # Acknowledged from here on: the line is out before the next write is asked for.
    sys.stdout.write(f"{number} {position}\\n")
    sys.stdout.flush()

async def main():
    store = SqliteHubStore(Path(sys.argv[1]))
    number = 0
    while True:
        await asyncio.gather(*(one(store, number + extra) for extra in range(20)))
        number += 20

asyncio.run(main())
"""

PARENT = """
import asyncio
from concura.adapters.miner import ProcessMiner

async def main():
    miner = ProcessMiner()
    await miner.mine(bytes(164), 1)
    print(miner.pid, flush=True)
    await miner.mine(bytes(164), 28)

asyncio.run(main())
"""


def spawn(code, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        text=True,
    )


def test_killing_the_writer_loses_no_acknowledged_entry(tmp_path):
    path = tmp_path / "hub.db"
    acknowledged = {}
    for limit in (50, 170):
        with spawn(WRITER, str(path)) as child:
            lines = []
            while len(lines) < limit:
                lines.append(child.stdout.readline())
            child.send_signal(signal.SIGKILL)
            lines += child.stdout.readlines()
        # A line that was cut in two by the kill was acknowledged all the same, but cannot be read.
        acknowledged |= dict(line.split() for line in lines if line.endswith("\n"))
    store = SqliteHubStore(path)
    for number, position in acknowledged.items():
        assert store.journal(int(position), 1) == [b"entry %d" % int(number)]
        assert store.position(f"{int(number):064x}") == int(position)
    assert len(acknowledged) >= 150
    store.close()


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="platform: no pidfd_open")
def test_the_miner_ends_when_its_parent_is_killed():
    with spawn(PARENT) as parent:
        pid = int(parent.stdout.readline())
        watch = os.pidfd_open(pid)
        try:
            parent.send_signal(signal.SIGKILL)
            parent.wait()
            # The child is deep in a search for 28 bits, and ends all the same.
            assert select.select([watch], [], [], 10)[0]
        finally:
            os.close(watch)


def test_the_miner_finds_work_and_starts_again_after_it_was_killed():
    async def scene():
        miner = ProcessMiner()
        header = bytes(156)
        for bits in (0, 12):
            nonce = await miner.mine(header + bytes(8), bits)
            assert is_enough(header + nonce.to_bytes(8, "big"), bits)
        assert nonce == await InlineMiner().mine(header + bytes(8), 12)
        first = miner.pid
        os.kill(first, signal.SIGKILL)
        nonce = await miner.mine(header + bytes(8), 10)
        assert is_enough(header + nonce.to_bytes(8, "big"), 10)
        assert miner.pid != first
        await miner.close()
        await miner.close()

    asyncio.run(scene())


def test_a_caller_that_goes_away_does_not_get_its_answer_to_another():
    async def scene():
        miner = ProcessMiner()
        await miner.mine(bytes(164), 1)
        long = asyncio.ensure_future(miner.mine(bytes(164), 28))
        await asyncio.sleep(0)
        long.cancel()
        header = b"x" * 156
        nonce = await asyncio.wait_for(miner.mine(header + bytes(8), 8), 20)
        assert is_enough(header + nonce.to_bytes(8, "big"), 8)
        await miner.close()

    asyncio.run(scene())
