"""Work in a child process: hashing keeps the interpreter lock and would hold up the event loop.

The child is fed by its standard input and answers on its standard output, one line each. It reads
its input also while it searches, so that it ends by itself as soon as the parent is gone, however
the parent ended. A newer request replaces the one that is being worked on.

This module does NOT search: `ledger.work.search` does, in the child, which loads that file alone
and so starts in a few hundredths of a second.
"""

import asyncio
import contextlib
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process

from concura.errors import InternalFault
from concura.ledger import work
from concura.limits import DIFFICULTY_MAX_BITS

__all__ = ["ProcessMiner"]

_ATTEMPTS = 3  # a child that dies so often for one header will die again
_GOODBYE_S = 5.0  # a child that does not end by itself is killed after this

_CHILD = """
import os, queue, runpy, signal, sys, threading
signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
search = runpy.run_path(sys.argv[1])["search"]
requests = queue.SimpleQueue()

def listen():
    for line in sys.stdin:
        requests.put(line)
    os._exit(0)  # the parent is gone

threading.Thread(target=listen, daemon=True).start()
while True:
    number, header, bits = requests.get().split()
    header, bits, start, nonce = bytes.fromhex(header), int(bits), 0, None
    while nonce is None and requests.empty():
        nonce = search(header, bits, start=start, count=1 << 14)
        start += 1 << 14
    if nonce is not None:
        print(number, nonce, flush=True)
"""


class ProcessMiner:
    """Implements `ports.Miner`; one child, started at the first call and again if it dies.

    Example:
        >>> nonce = await ProcessMiner().mine(header, 16)  # doctest: +SKIP
    """

    def __init__(self) -> None:
        self._child: Process | None = None
        self._lock = asyncio.Lock()
        self._number = 0

    @property
    def pid(self) -> int | None:
        """Process id of the child, or None before the first call."""
        return self._child.pid if self._child is not None else None

    async def mine(self, header: bytes, difficulty_bits: int) -> int:
        """Return a nonce that makes SHA-256(header with that nonce) smaller than the target.

        Args:
            header: packed header; its last 8 bytes are the nonce.
            difficulty_bits: 0 to DIFFICULTY_MAX_BITS.

        Raises:
            InternalFault: the child cannot be started or keeps dying.
        """
        if not 0 <= difficulty_bits <= DIFFICULTY_MAX_BITS:
            raise InternalFault(detail=f"difficulty {difficulty_bits}")
        async with self._lock:
            for _ in range(_ATTEMPTS):
                nonce = await self._ask(header, difficulty_bits)
                if nonce is not None:
                    return nonce
                await self._end()
        raise InternalFault(detail="the mining process keeps ending")

    async def close(self) -> None:
        """End the child."""
        async with self._lock:
            await self._end()

    async def _ask(self, header: bytes, bits: int) -> int | None:
        """Return the nonce, or None if the child died."""
        try:
            child = self._child or await self._start()
        except OSError as error:
            raise InternalFault(detail="the mining process cannot be started") from error
        assert child.stdin is not None
        assert child.stdout is not None
        # The number tells this answer from one to a request whose caller went away.
        self._number += 1
        number = str(self._number)
        try:
            child.stdin.write(f"{number} {header.hex()} {bits}\n".encode())
            await child.stdin.drain()
            while line := await child.stdout.readline():
                answered, nonce = line.decode().split()
                if answered == number:
                    return int(nonce)
        except (OSError, ValueError):
            return None
        return None

    async def _start(self) -> Process:
        # Isolated and without site: the child needs the standard library and one file.
        self._child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            "-S",
            "-c",
            _CHILD,
            work.__file__,
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
        )
        return self._child

    async def _end(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        if child.stdin is not None:
            child.stdin.close()
        try:
            await asyncio.wait_for(child.wait(), _GOODBYE_S)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()
