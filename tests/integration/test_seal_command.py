"""`concura seal`, `open` and `inspect` as a person meets them: words, pipes, exit codes, no remains."""

import array
import fcntl
import json
import os
import resource
import signal
import subprocess
import sys
import termios
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_public_key,
)

from concura.adapters.keys_file import FileKeyStore
from concura.cli import main
from concura.sealing import fingerprint

TEXT = b"potassium 5.9 mmol/L\n" * 400


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Three people with keys; alice's are where the command looks by itself."""
    place = tmp_path_factory.mktemp("home")
    for name in ("alice", "bob", "carol"):
        folder = place / ".concura" / "keys" if name == "alice" else place / name
        folder.parent.mkdir(exist_ok=True)
        store = FileKeyStore.create(folder)
        for use, suffix in (("wrap", "pub"), ("sign", "sign.pub")):
            (place / f"{name}.{suffix}").write_bytes(pem(store.public(use)))
    return place


@pytest.fixture
def place(home, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(tmp_path)
    mask = os.umask(0o022)
    (tmp_path / "scan.dcm").write_bytes(TEXT)
    yield tmp_path
    os.umask(mask)


def pem(der):
    return load_der_public_key(der).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def concura(*words, **more):
    return subprocess.run(
        [sys.executable, "-m", "concura", "--lang", "en", *map(str, words)],
        capture_output=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")},
        **more,
    )


@pytest.fixture
def sealed(home, place):
    assert main(["seal", "scan.dcm", "--to", str(home / "bob.pub")]) == 0
    return place / "scan.dcm.sealed"


def test_a_file_goes_from_alice_to_bob(home, place, sealed, capsys):
    capsys.readouterr()
    words = ["--key", str(home / "bob"), "--trust", str(home / "alice.sign.pub")]

    assert main(["--lang", "en", "open", str(sealed), "-o", "back.dcm", *words]) == 0

    assert (place / "back.dcm").read_bytes() == TEXT
    assert (place / "back.dcm").stat().st_mode & 0o777 == 0o600
    assert "was sealed by alice.sign on" in capsys.readouterr().out


def test_without_a_target_the_suffix_falls_away(home, place, sealed):
    (place / "scan.dcm").unlink()
    assert main(["open", str(sealed), "--key", str(home / "bob"),
                 "--trust", str(home / "alice.sign.pub")]) == 0  # fmt: skip
    assert (place / "scan.dcm").read_bytes() == TEXT


def test_a_sender_that_nobody_vouches_for_is_not_believed(home, place, sealed, capsys):
    capsys.readouterr()
    code = main(["--lang", "en", "open", str(sealed), "-o", "x", "--key", str(home / "bob"),
                 "--trust", str(home / "carol.sign.pub")])  # fmt: skip

    said = capsys.readouterr()
    assert code == 34
    assert fingerprint(der(home / "alice.sign.pub")) in said.err
    assert not (place / "x").exists()


def der(path):
    return load_pem_public_key(path.read_bytes()).public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )


def test_what_one_sealed_to_oneself_needs_no_voucher(home, place):
    assert main(["seal", "scan.dcm", "--to", str(home / "alice.pub"), "-o", "own"]) == 0
    assert main(["open", "own", "-o", "back"]) == 0
    assert (place / "back").read_bytes() == TEXT


def test_pipes_carry_what_files_carry(home, place):
    made = concura("seal", "-", "--to", home / "bob.pub", input=TEXT)
    back = concura("open", "-", "--key", home / "bob", "--trust", home / "alice.sign.pub",
                   input=made.stdout)  # fmt: skip
    assert (made.returncode, made.stderr) == (0, b"")
    assert (back.returncode, back.stdout, back.stderr) == (0, TEXT, b"")
    assert [path.name for path in place.iterdir()] == ["scan.dcm"]


def test_a_bad_segment_never_comes_out_of_a_pipe(home, place):
    plain = os.urandom(3 * 1024 * 1024)
    made = bytearray(concura("seal", "-", "--to", home / "bob.pub", input=plain).stdout)
    made[-1] ^= 1
    back = concura("open", "-", "--key", home / "bob", "--trust", home / "alice.sign.pub",
                   input=bytes(made))  # fmt: skip
    assert back.returncode == 37
    assert b"refused at segment 3" in back.stderr
    assert len(back.stdout) < len(plain)
    assert plain.startswith(back.stdout)


def test_a_folder_goes_as_one_file(home, place):
    (place / "ward" / "bed").mkdir(parents=True)
    (place / "ward" / "bed" / "1").write_bytes(TEXT)
    assert main(["seal", "ward", "--to", str(home / "bob.pub")]) == 0
    words = ["--key", str(home / "bob"), "--trust", str(home / "alice.sign.pub")]
    assert main(["open", "ward.sealed", "-o", "back", *words]) == 0
    assert (place / "back" / "bed" / "1").read_bytes() == TEXT
    assert main(["open", "ward.sealed", "-o", "back", *words]) == 19
    assert main(["open", "ward.sealed", "-o", "-", *words]) == 2


def test_inspect_tells_outside_what_anyone_may_know(home, place, sealed, capsys):
    capsys.readouterr()
    assert main(["inspect", str(sealed), "--trust", str(home / "bob.pub"), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)

    bob = fingerprint(der(home / "bob.pub"))
    assert shown["readers"] == [{"name": "bob", "fingerprint": bob}]
    assert "inside" not in shown
    assert fingerprint(der(home / "alice.sign.pub")) not in json.dumps(shown)
    assert "scan" not in json.dumps(shown).replace(str(sealed), "")


def test_inspect_tells_a_reader_who_sealed_what_and_when(home, place, sealed, capsys):
    capsys.readouterr()
    words = ["--key", str(home / "bob"), "--trust", str(home / "alice.sign.pub")]
    assert main(["--lang", "en", "inspect", str(sealed), *words]) == 0
    said = capsys.readouterr().out
    assert "the file scan.dcm, 8400 bytes, sealed on 20" in said
    assert "Sealed by: alice.sign" in said
    assert main(["--lang", "zh", "inspect", str(sealed), *words]) == 0
    assert "密封者：alice.sign" in capsys.readouterr().out


def test_several_readers_are_named_once_each(home, place, capsys):
    to = [word for name in ("bob", "carol", "bob") for word in ("--to", str(home / f"{name}.pub"))]
    assert main(["seal", "scan.dcm", *to, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [reader["name"] for reader in shown["readers"]] == ["bob", "carol"]
    for name in ("bob", "carol"):
        words = ["--key", str(home / name), "--trust", str(home / "alice.sign.pub")]
        assert main(["open", "scan.dcm.sealed", "-o", name, *words]) == 0


def test_der_cards_and_labelled_keys_name_people_too(home, place):
    (place / "bob.der").write_bytes(der(home / "bob.pub"))
    both = b"use: sign\n" + (home / "bob.sign.pub").read_bytes()
    both += b"use: wrap\n" + (home / "bob.pub").read_bytes()
    (place / "both.pem").write_bytes(both)
    for name in ("bob.der", "both.pem"):
        assert main(["seal", "scan.dcm", "--to", name, "-o", f"{name}.s"]) == 0
        words = ["--key", str(home / "bob"), "--trust", str(home / "alice.sign.pub")]
        assert main(["open", f"{name}.s", "-o", f"{name}.back", *words]) == 0


# What goes wrong ------------------------------------------------------------------------------


MISTAKES = [
    (["seal", "none", "--to", "bob.pub"], 19),
    (["seal", "scan.dcm", "--to", "nobody"], 2),
    (["seal", "scan.dcm", "--to", "no.pub"], 19),
    (["seal", "scan.dcm", "--to", "scan.dcm"], 19),
    (["seal", "scan.dcm", "--to", "bob.pub", "--from", "nowhere"], 2),
    (["seal", "scan.dcm", "--to", "bob.pub", "-o", "exists"], 19),
    (["seal", "scan.dcm", "--to", "bob.pub", "-o", "no/such/folder"], 12),
    (["seal", "scan.dcm", "--to", "bob.pub", "-o", "-", "--json"], 2),
    (["seal", "scan.dcm"], 2),
    (["open", "scan.dcm", "-o", "x"], 37),
    (["open", "empty", "-o", "x"], 37),
    (["open", "none", "-o", "x"], 19),
    (["open", "exists"], 37),
    (["inspect", "scan.dcm"], 37),
    (["inspect", "none"], 19),
]


@pytest.mark.parametrize(
    ("words", "code"), MISTAKES, ids=[" ".join(words) for words, _ in MISTAKES]
)
def test_every_mistake_has_its_code_and_changes_nothing(home, place, capsys, words, code):
    (place / "exists").write_bytes(b"old")
    (place / "empty").touch()
    (place / "bob.pub").write_bytes((home / "bob.pub").read_bytes())
    before = {path.name: path.read_bytes() for path in place.iterdir()}
    capsys.readouterr()

    assert main(["--lang", "en", *words]) == code

    assert {path.name: path.read_bytes() for path in place.iterdir()} == before
    said = capsys.readouterr()
    text = said.out if "--json" in words else said.err
    assert "Traceback" not in text
    assert "fault in Concura" not in text


def test_the_wrong_key_opens_nothing(home, place, sealed):
    assert main(["open", str(sealed), "-o", "x", "--key", str(home / "carol")]) == 30
    assert not (place / "x").exists()


def test_a_read_only_folder_is_said(home, place):
    (place / "closed").mkdir(mode=0o500)
    if os.geteuid() == 0:
        pytest.skip("platform: nothing is read-only to this user")
    assert main(["seal", "scan.dcm", "--to", str(home / "bob.pub"), "-o", "closed/x"]) == 12


def test_a_full_disk_is_said_and_leaves_nothing(home, place, sealed):
    (place / "big").write_bytes(bytes(3_000_000))

    def small():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))

    done = concura("seal", "big", "--to", home / "bob.pub", preexec_fn=small)

    assert done.returncode == 61
    assert sorted(path.name for path in place.iterdir()) == ["big", "scan.dcm", sealed.name]


@pytest.mark.parametrize("verb", ["seal", "open"])
def test_an_interrupt_leaves_no_target(home, place, verb):
    made = concura("seal", "-", "--to", home / "bob.pub", input=TEXT).stdout
    words = {
        "seal": ["--to", home / "bob.pub"],
        "open": ["--key", home / "bob", "--trust", home / "alice.sign.pub"],
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "concura", "--lang", "en", verb, "-", "-o", "x", *words[verb]],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")},
    )
    # More than a pipe holds: when it is written, the command has begun to read.
    process.stdin.write(made[:5_000] if verb == "open" else bytes(100_000))
    process.stdin.flush()
    wait_for_reader(process)
    process.send_signal(signal.SIGINT)

    _, said = process.communicate(timeout=30)

    assert process.returncode == 130
    assert b"Stopped on request" in said
    assert [path.name for path in place.iterdir()] == ["scan.dcm"]


def wait_for_reader(process):
    """Wait until the pipe is empty: whoever emptied it is past its start."""
    pause = threading.Event()
    for _ in range(600):
        left = array.array("i", [0])
        fcntl.ioctl(process.stdin.fileno(), termios.FIONREAD, left)
        if left[0] == 0:
            return
        pause.wait(0.05)


def test_a_reader_that_goes_away_is_no_fault(home, place):
    process = subprocess.Popen(
        [sys.executable, "-m", "concura", "seal", "-", "--to", str(home / "bob.pub")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")},
    )
    process.stdout.close()
    process.stdin.write(bytes(1_000_000))
    process.stdin.close()
    said = process.stderr.read()
    process.stderr.close()
    assert process.wait(30) == 141
    assert said == b""


def test_no_plaintext_or_key_is_left_in_messages_or_temporary_files(home, place, monkeypatch):
    marker = b"MARKER-7f3a9c"
    scratch = place / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    monkeypatch.setenv("CONCURA_DEBUG", "1")
    (place / "m").write_bytes(marker * 1_000)
    made = concura("seal", "m", "--to", home / "bob.pub", "-o", "-")
    spoiled = bytearray(made.stdout)
    spoiled[-1] ^= 1
    back = concura("open", "-", "--key", home / "bob", "--trust", home / "alice.sign.pub",
                   "-o", "x", input=bytes(spoiled))  # fmt: skip
    assert back.returncode == 37
    secrets = [marker, b"PRIVATE KEY"]
    assert [
        one
        for one in secrets
        for text in (made.stdout, made.stderr, back.stdout, back.stderr)
        if one in text
    ] == []
    assert list(scratch.iterdir()) == []
    assert not (place / "x").exists()
