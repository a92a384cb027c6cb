"""What is claimed of processes is shown with processes: lifelines, ready lines, locks, signals."""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading

import pytest

from concura.adapters import processes, running
from concura.adapters.folders import claim
from concura.adapters.processes import Children, finish, start, stop, wait_ready
from concura.cli import main
from concura.errors import AlreadyRunning, InternalFault, PortInUse

WAIT_S = 30.0

# A child that holds a named pipe open for as long as it lives: its reader sees the end of it.
CHILD = """
import os, signal, sys, threading
from pathlib import Path
from concura.adapters import processes, running
alive, folder, mood = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
os.open(alive, os.O_WRONLY)
stop = threading.Event()
signal.signal(signal.SIGTERM, (lambda *_: None) if mood == "deaf" else (lambda *_: stop.set()))
if mood != "free":
    processes.follow_lifeline()
with running.serving(folder) as place:
    place.ready(port=7, token="t")
    while not stop.wait(60):
        pass
"""


def program(script):
    return (sys.executable, "-c", script)


class Pipe:
    """The named pipe, and waiting for its last writer's end."""

    def __init__(self, folder):
        self.path = folder / "alive"
        os.mkfifo(self.path)
        self.fd = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)

    def is_closed_within(self, seconds):
        poll = select.poll()
        poll.register(self.fd, select.POLLHUP)
        return bool(poll.poll(seconds * 1000))


@pytest.fixture
def alive(tmp_path):
    pipe = Pipe(tmp_path)
    yield pipe
    os.close(pipe.fd)


@pytest.fixture
def place(tmp_path):
    return claim(tmp_path / "node", "node").path


def begin(alive, place, mood="kind", **more):
    log = place.parent / "child.out"
    child = start(
        [str(alive.path), str(place), mood], name="child", log=log, program=program(CHILD), **more
    )
    try:
        wait_ready(child, timeout_s=WAIT_S)
    except BaseException:
        stop([child], grace_s=0)
        raise
    return child


def test_a_child_says_that_it_is_ready_and_ends_when_asked(alive, place):
    child = begin(alive, place)
    assert child.announced == {"ready": True, "pid": child.pid, "port": 7}
    found = running.read_run(place)
    assert (found.pid, found.port, found.token) == (child.pid, 7, "t")
    assert (place / "run.json").stat().st_mode & 0o777 == 0o600
    stop([child])
    assert child.process.returncode == 0
    assert running.read_run(place) is None
    assert not (place / "run.json").exists()


def test_a_child_that_does_not_listen_is_killed_and_reaped(alive, place):
    child = begin(alive, place, "deaf")
    stop([child], grace_s=0.2)
    assert child.process.returncode == -signal.SIGKILL
    assert alive.is_closed_within(WAIT_S)
    assert running.has_remains(place)


def test_a_child_stands_in_a_session_of_its_own(alive, place):
    child = begin(alive, place)
    assert os.getsid(child.pid) == child.pid != os.getsid(0)
    stop([child])


GRANDPARENT = """
import signal, sys, threading
from pathlib import Path
from concura.adapters.processes import start, wait_ready
alive, folder, mood, child = sys.argv[1:5]
log = Path(folder).parent / "child.out"
kept = start([alive, folder, mood], name="child", log=log, program=(sys.executable, "-c", child))
wait_ready(kept)
print("ready", flush=True)
threading.Event().wait()
"""


@pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_a_child_ends_however_its_parent_dies(alive, place, death):
    parent = subprocess.Popen(
        [*program(GRANDPARENT), alive.path, place, "kind", CHILD],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert parent.stdout.readline() == b"ready\n"
    parent.send_signal(death)
    parent.communicate(timeout=WAIT_S)
    assert alive.is_closed_within(WAIT_S)
    assert not (place / "run.json").exists()  # it was asked, and had time to clear away


def test_a_child_that_does_not_listen_is_ended_by_its_lifeline():
    script = "import os,sys,signal,threading\nfrom concura.adapters.processes import watch_lifeline\nsignal.signal(15, signal.SIG_IGN)\nwatch_lifeline(0, lambda: os.kill(os.getpid(), 15), grace_s=0.1)\nprint('up', flush=True)\nthreading.Event().wait()"
    child = subprocess.Popen(
        program(script),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert child.stdout.readline() == b"up\n"
    child.communicate(timeout=WAIT_S)  # closes its lifeline
    assert child.returncode == -signal.SIGKILL


def test_a_child_without_a_lifeline_outlives_us_until_it_is_ended(alive, place):
    child = begin(alive, place, lifeline=False)
    processes.release(child)
    assert not alive.is_closed_within(0)
    assert running.end(place) == "stopped"
    assert alive.is_closed_within(WAIT_S)
    assert running.end(place) == "absent"


def test_ending_kills_what_does_not_listen(alive, place):
    child = begin(alive, place, "deaf", lifeline=False)
    processes.release(child)
    assert running.end(place, grace_s=0.2) == "killed"
    assert alive.is_closed_within(WAIT_S)
    assert not (place / "run.json").exists()


def test_ending_never_touches_a_process_that_merely_has_the_number(alive, place):
    child = begin(alive, place)
    run = json.loads((place / "run.json").read_text())
    (place / "run.json").write_text(json.dumps(run | {"started": "another boot:1"}))
    assert running.end(place) == "absent"
    assert child.process.poll() is None
    stop([child])


def test_two_processes_cannot_serve_one_folder(alive, place):
    child = begin(alive, place)
    with pytest.raises(AlreadyRunning) as caught, running.serving(place):
        pass
    assert caught.value.values["pid"] == child.pid
    assert running.read_run(place)  # the loser must not clear away the winner's word
    stop([child])
    with running.serving(place):
        pass


def test_a_killed_process_leaves_its_folder_free(alive, place):
    child = begin(alive, place)
    child.process.kill()
    child.process.wait()
    assert running.has_remains(place)
    with running.serving(place) as serving:
        assert not (place / "run.json").exists()
        serving.ready(port=1)
    stop([child])


def test_a_child_that_fails_tells_its_parent_why(tmp_path):
    script = "from concura.adapters.processes import announce_error\nfrom concura.errors import PortInUse\nannounce_error(PortInUse(port=443, host='::'))\nraise SystemExit(11)"
    for wait in (wait_ready, finish):
        with Children() as family:
            child = start([], name="hub", log=tmp_path / "hub.out", program=program(script))
            family.adopt(child)
            with pytest.raises(PortInUse, match="Port 443 on :: is in use"):
                wait(child, timeout_s=WAIT_S)


def test_a_child_that_dies_without_a_word_is_named_with_code_and_log(tmp_path):
    for wait in (wait_ready, finish):
        child = start(
            [], name="hub", log=tmp_path / "hub.out", program=program("raise SystemExit(9)")
        )
        with pytest.raises(InternalFault, match="hub ended with code 9") as caught:
            wait(child, timeout_s=WAIT_S)
        assert "hub.out" in caught.value.hint()
        stop([child])


def test_a_child_that_is_late_is_named_and_still_stopped(tmp_path):
    script = "import threading; threading.Event().wait()"
    with Children(grace_s=5) as family:
        child = start([], name="hub", log=tmp_path / "hub.out", program=program(script))
        family.adopt(child)
        with pytest.raises(InternalFault, match="not ready within 0 seconds"):
            wait_ready(child, timeout_s=0.05)
    assert child.process.returncode == -signal.SIGTERM


def test_what_a_finished_child_wrote_is_in_its_log(tmp_path):
    child = start(["--version"], name="version", log=tmp_path / "v.out")
    finish(child, timeout_s=WAIT_S)
    stop([child])
    assert (tmp_path / "v.out").read_text() == "concura 0.1.0\n"


@contextlib.contextmanager
def silent_server():
    """A server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        came = threading.Event()
        kept = []

        def accept():
            with contextlib.suppress(OSError):
                kept.append(listener.accept()[0])
                came.set()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/", came
        for one in kept:
            one.close()
        thread.join(WAIT_S)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_command_ends_cleanly_on_each_signal(tmp_path, number):
    with silent_server() as (url, came):
        command = subprocess.Popen(
            [
                *processes.PROGRAM,
                "data",
                "get",
                "heart-disease",
                tmp_path / "data",
                "--url",
                url,
                "--lang",
                "zh",
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert came.wait(WAIT_S)
        command.send_signal(number)
        out, err = command.communicate(timeout=WAIT_S)
    assert (command.returncode, out) == (130, "")
    assert err.splitlines()[-2] == "已按要求停止；没有留下任何运行中的进程。"
    assert "Traceback" not in err
    assert not list((tmp_path / "data").glob("*"))


def test_a_reader_that_goes_away_is_no_fault():
    read, write = os.pipe()
    os.close(read)
    found = subprocess.run(
        [*processes.PROGRAM, "config", "show"],
        stdout=write,
        stderr=subprocess.PIPE,
        check=False,
        timeout=WAIT_S,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    os.close(write)
    assert (found.returncode, found.stderr) == (141, b"")


# status and down -----------------------------------------------------------------------------


def test_status_and_down_of_one_node(alive, place, capsys):
    child = begin(alive, place, lifeline=False)
    processes.release(child)
    assert main(["status", str(place), "--json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)["processes"]
    assert (one["running"], one["pid"], one["port"], one["answers"]) == (True, child.pid, 7, False)
    assert main(["down", str(place)]) == 0
    assert capsys.readouterr().out == "node stopped.\n"
    assert main(["status", str(place)]) == 15
    assert capsys.readouterr().out == "node: stopped\n"
    assert alive.is_closed_within(WAIT_S)


def test_status_of_a_consortium_that_is_not_settled_yet(tmp_path, capsys):
    claim(tmp_path / "c", "consortium")
    assert main(["status", str(tmp_path / "c")]) == 15
    assert main(["down", str(tmp_path / "c")]) == 0
    assert capsys.readouterr().out == f"There is nothing in {tmp_path / 'c'} yet.\n"
