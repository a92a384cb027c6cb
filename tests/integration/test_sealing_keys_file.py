"""Keys in a folder: made whole, opened strictly, used without being told about."""

import logging
import os
import shutil
import stat
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from concura.adapters.keys_file import FileKeyStore, read_private
from concura.errors import LANGUAGES, EnvelopeRefused, FolderUnusable, KeyUnavailable
from concura.sealing import verify_signature, verify_witness, wrap_content_key

FILES = ["root.key", "sign.pem", "witness.pem", "wrap.pem"]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain") / "keys"
    return folder, FileKeyStore.create(folder)


@pytest.fixture(scope="module")
def locked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("locked") / "keys"
    return folder, FileKeyStore.create(folder, passphrase="口令 horse".encode())


@pytest.fixture
def copy(plain, tmp_path):
    folder = tmp_path / "keys"
    shutil.copytree(plain[0], folder)
    return folder


def why(call, *args, **kwargs):
    with pytest.raises(KeyUnavailable) as caught:
        call(*args, **kwargs)
    for lang in LANGUAGES:
        assert caught.value.message(lang)
        assert caught.value.hint(lang)
    return caught.value.why


def test_keys_are_written_for_their_owner_alone(plain):
    folder, _ = plain

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert sorted(p.name for p in folder.iterdir()) == FILES
    assert {stat.S_IMODE(p.stat().st_mode) for p in folder.iterdir()} == {0o600}
    assert not list(folder.parent.glob(".*"))


def test_opened_keys_are_the_created_ones(plain):
    folder, created = plain
    opened = FileKeyStore.open(folder)

    for use in ("sign", "wrap", "witness"):
        assert opened.public(use) == created.public(use)
    assert opened.unwrap_aes(created.wrap_aes(bytes(32))) == bytes(32)


def test_each_key_does_its_one_job(plain):
    _, store = plain

    assert verify_signature(store.public("sign"), b"m", store.sign(b"m"))
    assert verify_witness(store.public("witness"), b"m", store.witness(b"m"))
    content_key = bytes(range(32))
    assert store.unwrap(wrap_content_key(store.public("wrap"), content_key)) == content_key
    assert len({store.public(use) for use in ("sign", "wrap", "witness")}) == 3
    assert store.capabilities() == {"sign", "unwrap", "wrap_aes", "export", "destroy:now"}


def test_what_was_wrapped_to_another_key_is_refused(plain, locked):
    wrapped = wrap_content_key(locked[1].public("wrap"), bytes(32))

    for bad in (wrapped, wrapped[:-1], b"", bytes(384)):
        with pytest.raises(EnvelopeRefused) as caught:
            plain[1].unwrap(bad)
        assert caught.value.why == "wrap"
    assert why(plain[1].unwrap_aes, locked[1].wrap_aes(bytes(32))) == "wrapped"


def test_openssl_reads_the_unlocked_keys(plain):
    folder, _ = plain

    for name in ("sign.pem", "wrap.pem", "witness.pem"):
        result = subprocess.run(
            ["openssl", "pkey", "-in", folder / name, "-check", "-noout"],
            capture_output=True,
            check=False,
        )
        assert result.returncode == 0, result.stderr


def test_locked_keys_open_with_their_passphrase_alone(locked):
    folder, created = locked

    opened = FileKeyStore.open(folder, passphrase="口令 horse".encode())

    assert opened.public("sign") == created.public("sign")
    assert why(FileKeyStore.open, folder) == "locked"
    assert why(FileKeyStore.open, folder, passphrase=b"wrong") == "passphrase"
    assert all(b"ENCRYPTED" in (folder / f).read_bytes() for f in FILES if f.endswith("pem"))


def test_keys_are_never_overwritten(plain, tmp_path):
    before = {p.name: p.read_bytes() for p in plain[0].iterdir()}

    assert why(FileKeyStore.create, plain[0]) == "exists"
    assert {p.name: p.read_bytes() for p in plain[0].iterdir()} == before
    (tmp_path / "file").write_bytes(b"")
    assert why(FileKeyStore.create, tmp_path / "file") == "exists"


def test_a_creation_that_was_killed_is_made_again(tmp_path):
    (tmp_path / ".keys.part").mkdir()
    (tmp_path / ".keys.part" / "sign.pem").write_bytes(b"half")
    (tmp_path / "keys").mkdir()

    FileKeyStore.create(tmp_path / "keys")

    assert [p.name for p in tmp_path.iterdir()] == ["keys"]
    assert sorted(p.name for p in (tmp_path / "keys").iterdir()) == FILES


def test_a_folder_that_cannot_be_made_is_said_so(tmp_path):
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(FolderUnusable):
        FileKeyStore.create(tmp_path / "file" / "keys")


@pytest.mark.parametrize("name", FILES)
def test_a_missing_readable_or_garbled_file_is_refused(copy, name):
    path = copy / name
    good = path.read_bytes()

    for bad in (b"", b"garbage", good[: len(good) // 2], bytes(100_000), b"\xff\xfe"):
        path.write_bytes(bad)
        assert why(FileKeyStore.open, copy) == "garbage"
    path.write_bytes(good)
    path.chmod(0o640)
    assert why(FileKeyStore.open, copy) == "readable"
    path.unlink()
    assert why(FileKeyStore.open, copy) == "missing"


def test_a_folder_that_others_can_enter_is_refused(copy):
    copy.chmod(0o755)

    assert why(FileKeyStore.open, copy) == "readable"


def test_a_missing_folder_is_refused(tmp_path):
    assert why(FileKeyStore.open, tmp_path / "none") == "missing"
    (tmp_path / "file").write_bytes(b"")
    assert why(FileKeyStore.open, tmp_path / "file") == "missing"


def test_links_folders_and_pipes_are_no_keys(tmp_path):
    (tmp_path / "real").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "dir").mkdir(mode=0o700)
    os.mkfifo(tmp_path / "pipe", 0o600)

    for name in ("link", "dir", "pipe"):
        assert why(read_private, tmp_path / name) == "garbage"


def test_a_key_of_another_kind_or_strength_is_refused(copy):
    witness = (copy / "witness.pem").read_bytes()
    sign = (copy / "sign.pem").read_bytes()
    weak = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )

    for name, bad in (("sign.pem", witness), ("sign.pem", weak), ("wrap.pem", sign)):
        good = (copy / name).read_bytes()
        (copy / name).write_bytes(bad)
        assert why(FileKeyStore.open, copy) == "garbage"
        (copy / name).write_bytes(good)
    (copy / "witness.pem").write_bytes(sign)
    assert why(FileKeyStore.open, copy) == "garbage"


def test_an_unknown_use_is_refused(plain):
    assert why(plain[1].public, "tls") == "missing"


def test_every_use_of_a_private_key_is_logged_and_no_secret_is(plain, caplog):
    folder, store = plain
    caplog.set_level(logging.DEBUG)
    content_key = b"MARKER-OF-A-CONTENT-KEY-32-BYTES"

    store.sign(b"MARKER message")
    store.witness(b"MARKER message")
    store.unwrap(wrap_content_key(store.public("wrap"), content_key))
    store.unwrap_aes(store.wrap_aes(content_key))

    used = [r.getMessage() for r in caplog.records if r.name == "concura.adapters.keys_file"]
    assert [line.split("use=")[1].split()[0] for line in used] == [
        "sign",
        "witness",
        "wrap",
        "root",
        "root",
    ]
    root = (folder / "root.key").read_text().split()[-1]
    assert not any("MARKER" in line or root in line for line in used)


def test_a_full_disk_leaves_no_half_written_keys(tmp_path):
    """A limit on the size of files stands in for the disk, in a process of its own."""
    code = (
        "import resource; from pathlib import Path; from concura.adapters.keys_file import *;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000));"
        "FileKeyStore.create(Path('keys'))"
    )
    path = {"PYTHONPATH": os.pathsep.join(sys.path)}

    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert "StoreFull" in result.stderr
    assert list(tmp_path.iterdir()) == []
