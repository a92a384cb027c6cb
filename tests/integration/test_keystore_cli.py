"""`concura keys` for key stores: made, listed, exported, renewed, destroyed; and nothing told."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import termios
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from concura.adapters import certificates
from concura.adapters.keys_file import FileKeyStore
from concura.cli.main import main
from concura.ledger import MemberCard
from concura.sealing import fingerprint

MARKER = "MARKER-correct-horse"
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}


@pytest.fixture
def said(capsys):
    def run(*words, code=0):
        assert main([str(word) for word in words]) == code
        out = capsys.readouterr()
        return out.out + out.err

    return run


@pytest.fixture
def node(tmp_path, said):
    said("node", "init", tmp_path / "node", "--member", "hospital-a", "--name", "Hospital A")
    return tmp_path / "node"


def test_a_person_makes_lists_and_exports_keys(tmp_path, said):
    made = said("keys", "generate", tmp_path / "alice")
    store = FileKeyStore.open(tmp_path / "alice")
    prints = json.loads(said("keys", "list", tmp_path / "alice", "--json"))["fingerprints"]
    said("keys", "export", tmp_path / "alice", "--out", tmp_path / "alice.pub")

    assert prints == {use: fingerprint(store.public(use)) for use in ("sign", "wrap", "witness")}
    assert prints["sign"] in made
    assert (
        said("keys", "fingerprint", tmp_path / "alice", "--use", "wrap").strip() == prints["wrap"]
    )
    text = (tmp_path / "alice.pub").read_text()
    assert said("keys", "export", tmp_path / "alice") == text
    assert [line for line in text.splitlines() if len(line) < 10] == ["wrap", "sign"]
    assert "PRIVATE" not in text


def test_openssl_reads_the_exported_keys(tmp_path, said):
    said("keys", "generate", tmp_path / "alice")
    text = said("keys", "export", tmp_path / "alice")

    read = subprocess.run(
        ["openssl", "pkey", "-pubin", "-noout", "-text"],
        input=text,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "3072 bit" in read.stdout


def test_keys_are_never_made_twice(tmp_path, said):
    said("keys", "generate", tmp_path / "alice")
    before = (tmp_path / "alice" / "sign.pem").read_bytes()

    said("keys", "generate", tmp_path / "alice", code=18)
    assert (tmp_path / "alice" / "sign.pem").read_bytes() == before


def test_a_node_keeps_the_key_store_that_it_was_made_with(hsm, tmp_path, said):
    uri = hsm.uri("main")
    made = ["node", "init", tmp_path / "node", "--member", "hospital-a", "--name", "Hospital A"]
    said(*made, "--key-store", uri)

    assert "pkcs11:" in (tmp_path / "node" / "concura.toml").read_text()
    prints = json.loads(said("keys", "list", tmp_path / "node", "--json"))
    card = MemberCard.from_json(json.loads((tmp_path / "node" / "card.json").read_bytes()))
    assert prints["fingerprints"]["sign"] == fingerprint(card.sign)
    assert "destroy:now" in prints["capabilities"]
    said("keys", "check", tmp_path / "node")


def test_a_key_store_that_is_none_makes_no_node(tmp_path, said):
    made = ["node", "init", tmp_path / "node", "--member", "hospital-a", "--name", "Hospital A"]

    said(*made, "--key-store", "pkcs12:x", code=10)
    assert not (tmp_path / "node").exists()


def test_replaced_keys_wait_beside_the_old_ones_with_their_card(node, said):
    before = json.loads((node / "card.json").read_bytes())

    told = json.loads(said("keys", "replace", node, "--use", "sign", "--use", "wrap", "--json"))

    card = MemberCard.from_json(json.loads((node / "card.next.json").read_bytes()))
    assert told["fingerprints"]["sign"] == fingerprint(card.sign)
    assert len(told["words"].split()) == 8
    after = json.loads((node / "card.next.json").read_bytes())
    assert {name for name in before if before[name] != after[name]} == {"sign", "wrap"}
    assert json.loads((node / "card.json").read_bytes()) == before
    said("keys", "replace", node, "--use", "sign", code=18)


def test_keys_are_destroyed_only_when_it_is_meant(node, said):
    said("keys", "replace", node, "--use", "sign")
    start = said("keys", "fingerprint", node, "--use", "sign")[:16]

    assert start in said("keys", "destroy", node, code=2)
    said("keys", "destroy", node, "--confirm", start[:-1], code=2)
    assert FileKeyStore.open(node / "keys")
    said("keys", "destroy", node, "--confirm", start)
    assert not (node / "keys").exists()
    assert not (node / "keys.next").exists()
    said("keys", "list", node, code=18)


# Certificates ---------------------------------------------------------------------------------


def renew(node, *, days):
    now = datetime.now(UTC)  # noqa: TID251 - the command reads the system's clock too
    certificates.issue(node / "tls", names=["hospital-a"], now=now, days=days, server=False)


def test_check_warns_thirty_days_ahead_and_renewal_keeps_the_key(node, said):
    said("keys", "check", node)
    renew(node, days=31)
    told = json.loads(said("keys", "check", node, "--json", code=1))
    key = certificates.tls_fingerprint(certificates.certificate(node / "tls"))

    assert [line["state"] for line in told["findings"]] == ["warn", "good", "good"]
    assert "keys renew" in said("keys", "check", node, code=1)
    said("keys", "renew", node)
    said("keys", "check", node)
    assert certificates.tls_fingerprint(certificates.certificate(node / "tls")) == key
    card = MemberCard.from_json(json.loads((node / "card.json").read_bytes()))
    assert card.tls == key, "the member entry stays valid"


def test_an_expired_certificate_is_told_and_renewed(node, said):
    past = datetime.now(UTC) - timedelta(days=40)  # noqa: TID251 - the command's own clock
    certificates.issue(node / "tls", names=["hospital-a"], now=past, days=10, server=False)

    told = json.loads(said("keys", "check", node, "--json", code=1))
    assert told["findings"][0]["error"]["why"] == "expired"
    said("keys", "renew", node)
    said("keys", "check", node)


def test_check_tells_keys_that_do_not_open(node, said):
    (node / "keys" / "wrap.pem").write_bytes(b"garbage")

    told = json.loads(said("keys", "check", node, "--json", code=1))
    assert told["findings"][-1]["error"]["why"] == "garbage"


def test_check_and_renew_refuse_a_folder_that_is_none_of_ours(tmp_path, said):
    said("keys", "check", tmp_path, code=12)
    said("keys", "check", tmp_path / "none", code=12)
    said("keys", "renew", tmp_path, code=12)


def test_a_renewal_never_outlasts_its_authority(tmp_path):
    now = datetime(2030, 1, 1, tzinfo=UTC)
    certificates.create_authority(tmp_path, "a", now=now - timedelta(days=3_600))
    certificates.issue(tmp_path, names=["a"], now=now)

    assert certificates.check(certificates.certificate(tmp_path), now=now) == 53
    with pytest.raises(certificates.CertificateInvalid) as caught:
        certificates.renew(tmp_path, now=now + timedelta(days=60))
    assert (caught.value.why, bool(caught.value.hint("zh"))) == ("authority", True)


# At a terminal --------------------------------------------------------------------------------


class Terminal:
    """A process with a terminal of its own, as a person has."""

    START = (
        "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
        "os.execv(sys.executable, [sys.executable, '-m', 'concura', *sys.argv[1:]])"
    )

    def __init__(self, *words):
        self.master, slave = os.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", self.START, *map(str, words)],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env=ENVIRONMENT,
        )
        os.close(slave)
        self.seen = b""

    def answer(self, prompt, text):
        self.until(prompt)
        os.write(self.master, f"{text}\n".encode())

    def until(self, prompt):
        start = len(self.seen)
        while prompt.encode() not in self.seen[start:]:
            self.seen += os.read(self.master, 4_096)

    def told(self):
        """What others of the machine can see of it."""
        folder = Path("/proc") / str(self.process.pid)
        return b"".join((folder / name).read_bytes() for name in ("cmdline", "environ"))

    def end(self):
        try:
            while part := os.read(self.master, 4_096):
                self.seen += part
        except OSError:
            pass  # Linux ends a terminal so
        code = self.process.wait()
        os.close(self.master)
        return code


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="platform: Linux's /proc")
def test_a_passphrase_is_typed_and_shown_nowhere(tmp_path):
    assert fcntl.ioctl
    assert termios.TIOCSCTTY
    alice = tmp_path / "alice"
    terminal = Terminal("keys", "generate", alice, "--passphrase")
    terminal.answer("New passphrase: ", MARKER)
    terminal.answer("same again: ", MARKER)
    told = terminal.told()
    assert terminal.end() == 0
    assert MARKER.encode() not in terminal.seen + told

    assert FileKeyStore.open(alice, passphrase=MARKER.encode())
    terminal = Terminal("keys", "list", alice)
    terminal.answer("PIN: ", MARKER)
    assert terminal.end() == 0
    assert b"RSA-3072" in terminal.seen
    terminal = Terminal("keys", "list", alice)
    terminal.answer("PIN: ", "wrong")
    assert terminal.end() == 18
    left = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert MARKER.encode() not in left


def test_two_passphrases_that_differ_make_nothing(tmp_path):
    terminal = Terminal("keys", "generate", tmp_path / "alice", "--passphrase")
    terminal.answer("New passphrase: ", MARKER)
    terminal.answer("same again: ", MARKER + "x")

    assert terminal.end() == 2
    assert list(tmp_path.iterdir()) == []


def test_a_backup_is_made_and_restored_at_the_terminal(tmp_path, said):
    said("keys", "generate", tmp_path / "alice")
    terminal = Terminal(
        "keys", "export", tmp_path / "alice", "--private", "--out", tmp_path / "kept"
    )
    terminal.answer("New passphrase: ", MARKER)
    terminal.answer("same again: ", MARKER)
    assert terminal.end() == 0
    terminal = Terminal("keys", "generate", tmp_path / "again", "--from-backup", tmp_path / "kept")
    terminal.answer("PIN: ", MARKER)
    assert terminal.end() == 0

    same = [said("keys", "fingerprint", tmp_path / name) for name in ("alice", "again")]
    assert same[0] == same[1]


def test_without_a_terminal_nobody_waits_for_an_answer(tmp_path):
    FileKeyStore.create(tmp_path / "alice", passphrase=MARKER.encode())
    for words, code in (
        (["list", "alice"], 18),
        (["generate", "bob", "--passphrase"], 2),
        (["export", "alice", "--private"], 18),
    ):
        ended = subprocess.run(
            [sys.executable, "-m", "concura", "keys", *words],
            cwd=tmp_path,
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            start_new_session=True,
            check=False,
        )
        assert ended.returncode == code
        assert b"Traceback" not in ended.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["alice"]


# What a crash leaves behind -------------------------------------------------------------------


def test_a_crash_with_open_keys_leaves_no_core_no_file_and_no_word(tmp_path):
    (tmp_path / "secret").touch(mode=0o600)
    (tmp_path / "secret").write_text(MARKER)
    code = (
        "import os, faulthandler; faulthandler.enable(); from pathlib import Path;"
        "from concura.adapters.system import harden_process; harden_process();"
        "from concura.adapters.keys_uri import create_key_store;"
        "s = create_key_store('file:keys?passphrase-file=secret', base=Path('.'));"
        "s.wrap_aes(b'MARKER-of-a-data-key-of-32-bytes'); os.abort()"
    )
    before = set(Path("/tmp").iterdir())

    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        check=False,
    )

    assert ended.returncode == -signal.SIGABRT
    assert b"MARKER" not in ended.stdout + ended.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["keys", "secret"]
    assert not [path for path in set(Path("/tmp").iterdir()) - before if "core" in path.name]
