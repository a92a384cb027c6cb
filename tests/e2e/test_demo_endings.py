"""However `concura demo` ends, nothing runs on and nothing lies about.

Ctrl-C after the heading of every stage, an impatient second Ctrl-C, SIGTERM, a closed terminal,
SIGKILL. The runs are played side by side, because each of them spends its time making keys.
"""

import fcntl
import os
import pty
import random
import re
import select
import signal
import subprocess
import sys
import termios
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PAUSE = threading.Event()  # never set: what is waited for happens in other processes

SOURCES = Path(__file__).resolve().parents[2] / "src"
AT_ONCE = 3
DEADLINE_S = 120.0
GONE_S = 40.0  # children have ten seconds to close their stores before they are killed

# name -> (number of the heading after which it ends, how)
ENDINGS = {
    "ctrl-c-5": (5, "int"),
    "ctrl-c-4": (4, "int"),
    "ctrl-c-held-down": (3, "twice"),
    "sigkill": (3, "kill"),
    "ctrl-c-2": (2, "int"),
    "terminal-closed": (1, "hangup"),
    "ctrl-c-1": (1, "int"),
    "sigterm": (0, "term"),
    "ctrl-c-0": (0, "int"),
    "reader-gone": (0, "pipe"),
}
STOPPED = {"int", "twice", "term"}


class Ending:
    """One demo that was ended on purpose: its exit code, its words, and what was left."""

    def __init__(self, base, name, stage, how):
        words = ["demo", "--difficulty", "4", "--data", str(base / "data")]
        self.scratch = base / name
        self.scratch.mkdir()
        self.mark = f"CONCURA_TEST_ENDING={os.getpid()}-{name}".encode()
        variable, _, value = self.mark.decode().partition("=")
        environment = {**os.environ, "TMPDIR": str(self.scratch), variable: value}
        environment |= {"PYTHONPATH": str(SOURCES), "LANG": "C.UTF-8"}
        reading, writing = pty.openpty() if how == "hangup" else os.pipe()
        error = self.scratch.with_suffix(".err")
        with error.open("wb") as sink:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "concura", *words],
                stdin=writing if how == "hangup" else subprocess.DEVNULL,
                stdout=writing,
                stderr=writing if how == "hangup" else sink,
                env=environment,
                start_new_session=True,
                preexec_fn=take_terminal if how == "hangup" else None,  # noqa: PLW1509 - one system call
            )
        os.close(writing)
        try:
            self.told = read_until(reading, f"\n{stage}  ".encode())
            self.were = len(self.running())
            self.end(process, how, reading)
            self.code = process.wait(timeout=GONE_S)
            self.is_quiet = self.falls_silent()
            self.left = self.running()
        finally:
            for pid in self.running():
                kill(pid)
            process.kill()
            process.wait()
        if how not in {"hangup", "pipe"}:
            os.close(reading)
        self.err = error.read_text("utf-8")

    def end(self, process, how, reading):
        if how in {"hangup", "pipe"}:
            os.close(reading)
            return
        number = {"kill": signal.SIGKILL, "term": signal.SIGTERM}.get(how, signal.SIGINT)
        process.send_signal(number)
        for _ in range(20 if how == "twice" else 0):
            PAUSE.wait(0.05)  # a finger on Ctrl-C: there is nothing to wait for
            process.send_signal(number)

    def running(self):
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if self.mark in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
            except OSError:
                continue
        return found

    def falls_silent(self):
        end = time.monotonic() + GONE_S
        while self.running():
            if time.monotonic() > end:
                return False
            PAUSE.wait(0.05)  # the end of processes that are not our children
        return True


def take_terminal():
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def read_until(fd, wanted):
    data, end = b"\n", time.monotonic() + DEADLINE_S
    while wanted not in re.sub(rb"\x1b\[[0-9;]*m|\r", b"", data):
        ready, _, _ = select.select([fd], [], [], max(0.0, end - time.monotonic()))
        part = os.read(fd, 65_536) if ready else b""
        assert part, data.decode("utf-8", "replace")
        data += part
    return data


def write_tables(folder):
    """Three hospitals are the fewest that learn together, and so the fewest keys to make."""
    folder.mkdir()
    draw = random.Random(1)
    for name in ("cleveland", "hungarian", "va"):
        lines = [
            f"{draw.randint(35, 75)},{draw.randint(0, 1)},{draw.randint(1, 4)},{draw.randint(100, 180)},"
            f"{draw.randint(150, 300)},0,{draw.randint(0, 2)},{draw.randint(90, 190)},"
            f"{draw.randint(0, 1)},{draw.random() * 4:.1f},?,?,?,{draw.randint(0, 1)}"
            for _ in range(80)
        ]
        (folder / f"processed.{name}.data").write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def endings(tmp_path_factory):
    base = tmp_path_factory.mktemp("endings")
    write_tables(base / "data")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        started = {n: pool.submit(Ending, base, n, *how) for n, how in ENDINGS.items()}
    return {name: one.result() for name, one in started.items()}


@pytest.mark.parametrize("name", list(ENDINGS))
def test_nothing_is_left_running(endings, name):
    one = endings[name]
    assert one.were >= 1
    assert one.is_quiet
    assert one.left == []


@pytest.mark.parametrize("name", [n for n in ENDINGS if "kill" not in n])
def test_nothing_is_left_lying_about(endings, name):
    assert list(endings[name].scratch.iterdir()) == []


def without_progress(text):
    return [line for line in text.splitlines() if not re.search(r" \d+/\d+$", line)]


@pytest.mark.parametrize("name", [n for n, (_, how) in ENDINGS.items() if how in STOPPED])
def test_stopping_is_told_in_one_sentence_with_its_exit_code(endings, name):
    one = endings[name]
    assert one.code == 130
    assert without_progress(one.err) == [
        "Stopped on request; nothing is left running.",
        "Run the command again when you are ready.",
    ]


def test_a_closed_terminal_stops_it_like_ctrl_c(endings):
    assert endings["terminal-closed"].code == 130


def test_a_reader_that_goes_away_stops_it_quietly(endings):
    one = endings["reader-gone"]
    assert one.code == 141
    assert without_progress(one.err) == []


def test_later_stages_had_all_their_processes(endings):
    # The parent, the hub, its mining process and three nodes.
    assert all(endings[f"ctrl-c-{stage}"].were == 6 for stage in (1, 2, 4, 5))
