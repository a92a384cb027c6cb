"""Places that cannot be read or written, and disks that are full: one sentence, nothing half-written.

Root gives up its right to pass over the rights of files, where it is root that tests.
"""

import ctypes
import os
import resource
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from concura.adapters.running import read_run
from concura.cli import main

SOURCES = Path(__file__).resolve().parents[2] / "src"
ROW = "60,1,2,140,230,0,1,150,0,1.5,?,?,?,1\n"
TABLES = ("cleveland", "hungarian", "switzerland", "va")


class _Head(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class _Set(ctypes.Structure):
    _fields_ = [(n, ctypes.c_uint32) for n in ("effective", "permitted", "inheritable")]


@pytest.fixture
def open_place(tmp_path):
    """A folder in which the rights of files hold for root too, as they do for everyone else."""
    head, sets = _Head(0x20080522, 0), (_Set * 2)()
    libc = ctypes.CDLL(None, use_errno=True)
    is_root = os.geteuid() == 0
    if is_root and libc.capget(ctypes.byref(head), sets):
        pytest.skip("platform: root cannot give up its rights here")
    before = sets[0].effective
    sets[0].effective &= ~0b110  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    mask = os.umask(0o022)
    if is_root:
        assert libc.capset(ctypes.byref(head), sets) == 0
    try:
        yield tmp_path
    finally:
        sets[0].effective = before
        if is_root:
            libc.capset(ctypes.byref(head), sets)
        os.umask(mask)
        for path in tmp_path.rglob("*"):
            if path.is_dir():
                path.chmod(0o755)


def write_tables(folder):
    folder.mkdir()
    for name in TABLES:
        (folder / f"processed.{name}.data").write_text(ROW * 5)
    return folder


def refused(capsys, *words):
    capsys.readouterr()
    codes = {}
    for lang in ("en", "zh"):
        codes[lang] = main([*words, "--lang", lang])
        out, err = capsys.readouterr()
        assert len(err.splitlines()) == 2, err
        assert "Traceback" not in out + err
        assert any("\u4e00" <= c <= "\u9fff" for c in err) == (lang == "zh")
    assert codes["en"] == codes["zh"]
    return codes["en"]


def tree(folder):
    return sorted(str(path) for path in folder.rglob("*"))


def test_a_folder_that_cannot_be_read(open_place, capsys):
    folder = write_tables(open_place / "data")
    folder.chmod(0o000)
    assert refused(capsys, "demo", "--data", str(folder)) == 12


def test_a_folder_that_can_be_listed_but_not_entered(open_place, capsys):
    folder = write_tables(open_place / "data")
    folder.chmod(0o444)
    assert refused(capsys, "demo", "--data", str(folder)) == 12


def test_a_file_that_cannot_be_read(open_place, capsys):
    folder = write_tables(open_place / "data")
    (folder / "processed.va.data").chmod(0o000)
    assert refused(capsys, "demo", "--data", str(folder)) == 20


def test_a_mapping_that_cannot_be_read(open_place, capsys):
    folder = write_tables(open_place / "data")
    (open_place / "m.json").write_text("{}")
    (open_place / "m.json").chmod(0o000)
    words = ["demo", "--data", str(folder), "--mapping", str(open_place / "m.json")]
    assert refused(capsys, *words) == 20


@pytest.mark.parametrize(
    "words",
    [
        ("demo", "--keep", "{}/ro/kept"),
        ("demo", "--keep", "{}/ro"),
        ("demo", "--report", "{}/ro/report.html"),
        ("up", "{}/ro/consortium"),
        ("up", "{}/ro"),
        ("node", "init", "{}/ro/node", "--member", "a", "--name", "A"),
        ("data", "get", "heart-disease", "{}/ro/data", "--url", "http://127.0.0.1:1/"),
        ("status", "{}/ro"),
    ],
)
def test_a_folder_that_cannot_be_written(open_place, capsys, words):
    (open_place / "ro").mkdir(mode=0o555)
    before = tree(open_place)
    assert refused(capsys, *[word.replace("{}", str(open_place)) for word in words]) == 12
    assert tree(open_place) == before


def test_a_folder_below_one_that_cannot_be_entered(open_place, capsys):
    (open_place / "locked").mkdir()
    (open_place / "locked" / "inner").mkdir()
    (open_place / "locked").chmod(0o000)
    inner = str(open_place / "locked" / "inner")
    for words in (
        ["up", inner],
        ["status", inner],
        ["down", inner],
        ["config", "show", inner],
        ["demo", "--data", inner],
        ["demo", "--keep", inner],
        ["demo", "--report", f"{inner}/r.html"],
        ["node", "serve", inner],
        ["hub", "serve", inner],
    ):
        assert refused(capsys, *words) == 12, words


def test_settings_that_cannot_be_read(open_place, capsys):
    (open_place / "concura.toml").write_text("port = 1\n")
    (open_place / "concura.toml").chmod(0o000)
    assert refused(capsys, "config", "show", str(open_place)) == 10


# --- full disks ------------------------------------------------------------------------------------


def limited(*words, size_bytes):
    """Run a command that may write no file larger than this, as on a disk that is full."""

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, size_bytes))

    return subprocess.run(
        [sys.executable, "-P", "-m", "concura", *words],
        # Without the coverage of this run: its own file would not fit either.
        env={
            **{name: value for name, value in os.environ.items() if "COV" not in name},
            "PYTHONPATH": str(SOURCES),
            "LANG": "C.UTF-8",
        },
        preexec_fn=limit,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_node_on_a_full_disk_says_so_and_is_made_when_there_is_room(tmp_path):
    words = ["node", "init", str(tmp_path / "node"), "--member", "a", "--name", "A"]
    run = limited(*words, size_bytes=200)
    assert run.returncode == 61, run.stderr
    assert len(run.stderr.splitlines()) == 2
    assert "Traceback" not in run.stderr
    assert not [p for p in tree(tmp_path) if p.endswith(".part")]
    assert main(words) == 0


@pytest.fixture
def small_disk(tmp_path, request):
    """A file system of a given size; only root can make one."""
    place = tmp_path / "disk"
    place.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    flags = 0
    if os.geteuid() != 0 or libc.mount(
        b"none", str(place).encode(), b"tmpfs", flags, request.param
    ):
        pytest.skip("platform: a file system cannot be mounted here")
    try:
        yield place
    finally:
        libc.umount2(str(place).encode(), 2)


@pytest.mark.parametrize("small_disk", [b"size=1m"], indirect=True)
def test_a_demo_kept_on_a_small_disk_ends_with_one_sentence(small_disk, capsys):
    code = main(["demo", "--keep", str(small_disk / "kept"), "--difficulty", "4", "--json"])
    out, err = capsys.readouterr()
    assert code == 61, out + err
    assert "Traceback" not in out + err


@pytest.mark.parametrize("small_disk", [b"size=200k"], indirect=True)
def test_a_consortium_on_a_small_disk_leaves_nothing_running(small_disk, capsys):
    place = small_disk / "consortium"
    code = main(["up", str(place), "--hospitals", "1", "--difficulty", "4"])
    out, err = capsys.readouterr()
    assert code == 61, out + err
    assert len(err.splitlines()) == 2
    assert read_run(place / "hub") is None
    assert read_run(place / "hospital-a") is None


# --- ports -----------------------------------------------------------------------------------------


def test_a_port_in_use_is_told_before_the_hub_is_made(tmp_path, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code = main(["up", str(tmp_path / "c"), "--hospitals", "1", "--port", str(port)])
    _, err = capsys.readouterr()
    assert code == 11
    assert f"Port {port}" in err
    assert len(err.splitlines()) == 2
    assert read_run(tmp_path / "c" / "hub") is None


def test_an_address_that_is_not_ours_is_told(tmp_path, capsys):
    words = ["up", str(tmp_path / "c"), "--hospitals", "1", "--host", "192.0.2.1"]
    assert main(words) == 11
    assert len(capsys.readouterr().err.splitlines()) == 2
