"""Keys at rest: rewrap of a key table while another process reads it, erasure, and kills.

    python benchmarks/keys.py [--patients 1000000] [--kills 50] [--json]

The rewrap is held against the bare loop that opens and wraps as many lines without a file, per
CPU-second (goal: at least 0.25 of it), the reads against those of the same process when nobody
rewraps. Each kill ends a process somewhere in rotation, rewrap, erasure or backup; every key must
be there afterwards, every erased one gone.
"""

import argparse
import asyncio
import json
import os
import random
import select
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from concura.adapters.key_copies import back_up_table
from concura.adapters.sqlite_keys import SqliteKeyTable
from concura.adapters.system import SystemRandomness
from concura.sealing import (
    PatientKeys,
    unwrap_key,
    unwrap_patient_keys,
    wrap_key,
    wrap_patient_keys,
)

RATIO_MIN = 0.25
NOW = 1_700_000_000_000


class Root:
    """A key store's root, and nothing else of it."""

    def wrap_aes(self, key: bytes) -> bytes:
        return wrap_key(b"r" * 32, key)

    def unwrap_aes(self, wrapped: bytes) -> bytes:
        return unwrap_key(b"r" * 32, wrapped)


def open_table(folder: Path) -> SqliteKeyTable:
    return SqliteKeyTable(folder / "keys.db", Root(), SystemRandomness())


def fill(folder: Path, count: int) -> float:
    table, start = open_table(folder), time.perf_counter()
    for first in range(0, count, 10_000):
        some = [f"p{n}" for n in range(first, min(count, first + 10_000))]
        asyncio.run(table.make(some))
    table.close()
    return time.perf_counter() - start


def bare_loop(count: int) -> float:
    """Return lines per CPU-second of opening and wrapping alone."""
    old, new, patient = b"o" * 32, b"n" * 32, b"t" * 32
    line = wrap_patient_keys(old, PatientKeys(1, b"d" * 32, b"p" * 32), epoch=1, patient=patient)
    start = time.process_time()
    for _ in range(count):
        keys = unwrap_patient_keys(old, line, epoch=1, patient=patient, generation=1)
        wrap_patient_keys(new, keys, epoch=2, patient=patient)
    return count / (time.process_time() - start)


class Reader:
    """A second process that reads keys, not remembered ones, until it is told to stop."""

    def __init__(self, folder: Path, count: int) -> None:
        self._told, telling = os.pipe()
        stopped, self._stop = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._stop)
            os.write(telling, json.dumps(read_until(folder, count, stopped)).encode())
            os._exit(0)
        os.close(telling)
        os.close(stopped)

    def stop(self) -> dict[str, float]:
        os.close(self._stop)
        data = b""
        while part := os.read(self._told, 65_536):
            data += part
        os.waitpid(self.pid, 0)
        os.close(self._told)
        found: dict[str, float] = json.loads(data)
        return found


def read_until(folder: Path, count: int, stopped: int) -> dict[str, float]:
    table, took = open_table(folder), []
    begin = time.perf_counter()
    while not select.select([stopped], [], [], 0)[0]:
        for _ in range(50):
            start = time.perf_counter()
            assert table.patient_keys(f"p{random.randrange(count)}") is not None
            took.append(time.perf_counter() - start)
        table._opened.clear()  # noqa: SLF001 - else this would measure a dictionary
    seconds = time.perf_counter() - begin
    took.sort()
    table.close()
    return {
        "per_s": round(len(took) / seconds),
        "p99_ms": round(took[int(len(took) * 0.99)] * 1000, 3),
        "worst_ms": round(took[-1] * 1000, 1),
    }


def rewrap(folder: Path, count: int) -> Iterator[tuple[str, object]]:
    reader = Reader(folder, count)
    time.sleep(2)
    yield "reads_alone", reader.stop()
    reader = Reader(folder, count)
    table = open_table(folder)
    table.rotate()
    start, cpu = time.perf_counter(), time.process_time()
    assert table.rewrap() == count
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    yield "rewrap_s", round(seconds, 1)
    yield "rewrap_per_s", round(count / seconds)
    yield "rewrap_per_cpu_s", round(count / cpu)
    yield "reads_during", reader.stop()
    start = time.perf_counter()
    for n in range(20):
        table.erase(f"p{n}", now_ms=NOW)
    yield "erase_ms", round((time.perf_counter() - start) / 20 * 1000, 1)
    start = time.perf_counter()
    back_up_table(table, folder / "copy.db", now_ms=NOW)
    yield "backup_s", round(time.perf_counter() - start, 1)
    table.close()


def turn_forever(folder: Path, ready: Callable[[], object]) -> None:
    """Rotate, rewrap, erase and back up until killed."""
    table = open_table(folder)
    ready()
    while True:
        if table.state().epochs == 1:
            table.rotate()
        table.rewrap(batch=50)
        state = table.state()
        if state.erased < state.patients:  # half of them at most
            table.erase(f"p{state.erased}", now_ms=NOW)
        back_up_table(table, folder / "copy.db", now_ms=NOW)


def kills(count: int, patients: int = 2_000) -> Iterator[tuple[str, object]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fill(folder, patients)
        table = open_table(folder)
        before = {f"p{n}": table.patient_keys(f"p{n}") for n in range(patients)}
        table.close()
        lost = back = interrupted = unusable = 0
        for _ in range(count):
            told, telling = os.pipe()
            child = os.fork()
            if child == 0:
                turn_forever(folder, lambda: os.write(telling, b"."))  # noqa: B023 - it never returns
            os.read(told, 1)
            time.sleep(random.uniform(0, 0.1))
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            os.close(told)
            os.close(telling)
            table = open_table(folder)
            state = table.state()
            interrupted += state.epochs > 1
            for n in range(patients):
                found = table.patient_keys(f"p{n}")
                back += n < state.erased and found is not None
                lost += n >= state.erased and found != before[f"p{n}"]
            table.close()
            if (folder / "copy.db").exists():
                copy = SqliteKeyTable(folder / "copy.db", Root(), SystemRandomness())
                unusable += copy.patient_keys(f"p{patients - 1}") is None
                copy.close()
        yield "kills", count
        yield "kills_in_a_rewrap", interrupted
        yield "keys_lost", lost
        yield "erased_keys_back", back
        yield "unusable_backups", unusable


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=1_000_000)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found: dict[str, object] = {"bare_per_cpu_s": round(bare_loop(50_000))}
    # First, and in one thread: a child of a process with threads could start with a held lock.
    found |= kills(options.kills)
    with tempfile.TemporaryDirectory() as name:
        found["patients"] = options.patients
        found["fill_s"] = round(fill(Path(name), options.patients), 1)
        found |= rewrap(Path(name), options.patients)
        found["mib"] = round(Path(name, "keys.db").stat().st_size / 2**20, 1)
    found["ratio"] = round(found["rewrap_per_cpu_s"] / found["bare_per_cpu_s"], 2)  # type: ignore[operator]  # numbers
    if options.json:
        print(json.dumps(found))
    else:
        for name, value in found.items():
            print(f"{name}: {value}")
    harmless = not (found["keys_lost"] or found["erased_keys_back"] or found["unusable_backups"])
    return 0 if harmless and found["ratio"] >= RATIO_MIN else 1  # type: ignore[operator]  # numbers


if __name__ == "__main__":
    sys.exit(main())
