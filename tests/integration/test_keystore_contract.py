"""One suite per capability, run against every kind of key store."""

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from concura.adapters.key_locks import FileLock
from concura.adapters.keys_file import FileKeyStore
from concura.adapters.keys_uri import SCHEMES, create_key_store, open_key_store, restore_key_store
from concura.errors import LANGUAGES, ConcuraError, EnvelopeRefused, KeyUnavailable
from concura.sealing import fingerprint, verify_signature, verify_witness, wrap_content_key

KEY = b"MARKER-OF-A-CONTENT-KEY-32-BYTES"
KINDS = ["file", "passphrase", "pkcs11", "awskms"]
CAPABILITIES = {
    "file": {"export", "destroy:now"},
    "passphrase": {"export", "destroy:now"},
    "pkcs11": {"destroy:now"},
    "awskms": {"destroy:delayed"},
}


@dataclass
class Made:
    """A key store that was made once, and how to make another of its kind."""

    kind: str
    uri: str
    base: Path
    store: object


def uri_of(kind: str, base: Path, request: pytest.FixtureRequest) -> str:
    if kind == "pkcs11":
        return request.getfixturevalue("hsm").uri("main")
    if kind == "awskms":
        kms = request.getfixturevalue("kms")
        return kms.uri(kms.new_key())
    if kind == "passphrase":
        (base / "secret").touch(mode=0o600)
        (base / "secret").write_text("MARKER correct 口令 horse\n")
        return "file:keys?passphrase-file=secret"
    return "file:keys"


@pytest.fixture(scope="module", params=KINDS)
def made(request, tmp_path_factory):
    base = tmp_path_factory.mktemp(request.param)
    uri = uri_of(request.param, base, request)
    return Made(request.param, uri, base, create_key_store(uri, base=base))


@pytest.fixture
def fresh(made, tmp_path, request):
    """Another store of the same kind, to be spoiled."""
    uri = uri_of(made.kind, tmp_path, request)
    return Made(made.kind, uri, tmp_path, create_key_store(uri, base=tmp_path))


def why(call, *args, **kwargs):
    with pytest.raises(ConcuraError) as caught:
        call(*args, **kwargs)
    for lang in LANGUAGES:
        assert caught.value.message(lang)
        assert caught.value.hint(lang)
        assert "MARKER" not in caught.value.message(lang) + caught.value.hint(lang)
    return caught.value.why


# What every store does ------------------------------------------------------------------------


def test_every_scheme_is_tried_here():
    assert {kind for kind in KINDS if kind != "passphrase"} == set(SCHEMES)


def test_a_store_declares_what_it_can_do(made):
    assert made.store.capabilities() == {"sign", "unwrap", "wrap_aes"} | CAPABILITIES[made.kind]


def test_opened_keys_are_the_ones_that_were_made(made):
    opened = open_key_store(made.uri, base=made.base)

    for use in ("sign", "wrap", "witness"):
        assert opened.public(use) == made.store.public(use)
    assert len({opened.public(use) for use in ("sign", "wrap", "witness")}) == 3
    assert why(opened.public, "tls") == "missing"
    assert opened.unwrap_aes(made.store.wrap_aes(bytes(32))) == bytes(32)


def test_a_store_is_never_made_over_another(made):
    before = {path.name: path.read_bytes() for path in (made.base / "keys").iterdir()}

    assert why(create_key_store, made.uri, base=made.base) == "exists"
    assert {path.name: path.read_bytes() for path in (made.base / "keys").iterdir()} == before
    assert open_key_store(made.uri, base=made.base).public("sign") == made.store.public("sign")


def test_files_are_their_owners_alone(made):
    for path in [made.base / "keys", *(made.base / "keys").iterdir()]:
        assert path.stat().st_mode & 0o077 == 0
    (made.base / "keys").chmod(0o750)
    try:
        assert why(open_key_store, made.uri, base=made.base) == "readable"
    finally:
        (made.base / "keys").chmod(0o700)


def test_a_damaged_root_is_refused(fresh):
    path = fresh.base / "keys" / "root.key"
    good = path.read_bytes()

    for bad in (
        b"",
        b"x",
        good[:-9] + b"\n",
        good.replace(b"v1", b"v2"),
        good + b"x",
        b"\xff" * 99,
    ):
        path.write_bytes(bad)
        assert why(open_key_store, fresh.uri, base=fresh.base) in {"garbage", "wrapped"}


def test_a_folder_of_another_kind_of_store_is_refused(made, tmp_path, request):
    other = (
        "file:keys"
        if made.kind in {"pkcs11", "awskms"}
        else request.getfixturevalue("hsm").uri("main")
    )

    assert why(open_key_store, other, base=made.base) == "guard"


# sign -----------------------------------------------------------------------------------------


def test_sign_makes_signatures_that_anyone_can_verify(made):
    signature = made.store.sign(b"message")

    assert len(signature) == 384
    assert verify_signature(made.store.public("sign"), b"message", signature)
    assert not verify_signature(made.store.public("sign"), b"massage", signature)
    assert made.store.sign(b"message") != signature, "the salt is drawn anew"
    assert verify_witness(made.store.public("witness"), b"head", made.store.witness(b"head"))


def test_sign_takes_messages_of_every_size(made):
    for message in (b"", bytes(1), bytes(300_000)):
        assert verify_signature(made.store.public("sign"), message, made.store.sign(message))


def test_threads_may_sign_and_unwrap_at_once(made):
    wrapped = wrap_content_key(made.store.public("wrap"), KEY)

    with ThreadPoolExecutor(4) as pool:
        opened = [pool.submit(made.store.unwrap, wrapped) for _ in range(8)]
        signed = [pool.submit(made.store.sign, bytes([n])) for n in range(8)]

    assert {job.result() for job in opened} == {KEY}
    for n, job in enumerate(signed):
        assert verify_signature(made.store.public("sign"), bytes([n]), job.result())


# unwrap ---------------------------------------------------------------------------------------


def test_unwrap_opens_what_was_wrapped_to_this_key(made):
    for _ in range(3):
        assert made.store.unwrap(wrap_content_key(made.store.public("wrap"), KEY)) == KEY


def test_unwrap_refuses_everything_else_in_one_way(made):
    wrapped = wrap_content_key(made.store.public("wrap"), KEY)
    public = made.store.public("sign")
    flipped = [
        wrapped[:at] + bytes([wrapped[at] ^ 1]) + wrapped[at + 1 :] for at in (0, 1, 33, 200, 383)
    ]

    cases = [*flipped, b"", wrapped[:-1], wrapped + b"\0", bytes(384), b"\xff" * 384]
    for bad in [*cases, wrap_content_key(public, KEY)]:
        with pytest.raises(EnvelopeRefused) as caught:
            made.store.unwrap(bad)
        assert (caught.value.why, caught.value.values["step"]) == ("wrap", 3)
    assert made.store.unwrap(wrapped) == KEY


# wrap_aes -------------------------------------------------------------------------------------


def test_wrap_aes_gives_back_keys_of_every_size(made):
    for size in (16, 24, 32, 64):
        key = bytes(range(size))
        wrapped = made.store.wrap_aes(key)
        assert len(wrapped) == size + 8
        assert key not in wrapped
        assert made.store.unwrap_aes(wrapped) == key


def test_wrap_aes_refuses_what_was_changed_or_is_anothers(made, fresh):
    wrapped = made.store.wrap_aes(KEY)

    for bad in (b"", b"x", wrapped[:-1], wrapped[:-8], wrapped[:-1] + b"\0", bytes(40), bytes(400)):
        assert why(made.store.unwrap_aes, bad) == "wrapped"
    assert why(fresh.store.unwrap_aes, wrapped) == "wrapped"
    assert made.store.unwrap_aes(wrapped) == KEY


# replace --------------------------------------------------------------------------------------


@pytest.mark.parametrize("uses", [["sign"], ["sign", "wrap"]], ids="+".join)
def test_replaced_keys_are_new_and_the_rest_stays(made, tmp_path, uses):
    wrapped = made.store.wrap_aes(KEY)

    store = made.store.replace(tmp_path / "next", uses)

    changed = {
        use for use in ("sign", "wrap", "witness") if store.public(use) != made.store.public(use)
    }
    assert changed == set(uses)
    assert verify_signature(store.public("sign"), b"m", store.sign(b"m"))
    assert store.unwrap(wrap_content_key(store.public("wrap"), KEY)) == KEY
    assert store.unwrap_aes(wrapped) == KEY, "what is stored stays readable"
    assert verify_signature(made.store.public("sign"), b"m", made.store.sign(b"m"))


def test_only_keys_that_can_be_replaced_are(made, tmp_path):
    for uses in ([], ["witness"], ["sign", "root"]):
        assert why(made.store.replace, tmp_path / "next", uses) == "missing"
    assert list(tmp_path.iterdir()) == []


# export and restore ---------------------------------------------------------------------------


def test_export_makes_a_backup_that_can_be_restored_or_is_refused(made, tmp_path):
    if "export" not in made.store.capabilities():
        assert (
            not hasattr(made.store, "export")
            or why(made.store.export, tmp_path / "backup", lambda: b"backup passphrase")
            == "noexport"
        )
        return
    wrapped = made.store.wrap_aes(KEY)

    made.store.export(tmp_path / "backup", lambda: b"backup passphrase")
    assert why(FileKeyStore.open, tmp_path / "backup") == "locked"
    restored = restore_key_store(
        "file:restored", tmp_path / "backup", base=tmp_path, ask=lambda: b"backup passphrase"
    )

    assert restored.public("sign") == made.store.public("sign")
    assert restored.unwrap_aes(wrapped) == KEY
    assert FileKeyStore.open(tmp_path / "restored", lock=FileLock()).sign(b"m")


def test_a_backup_is_restored_under_the_lock_of_its_new_store(made, tmp_path):
    kept = FileKeyStore.create(tmp_path / "kept")
    kept.export(tmp_path / "backup", lambda: b"backup passphrase")
    answer = {"base": tmp_path, "ask": lambda: b"backup passphrase"}
    if made.kind == "pkcs11":
        assert why(restore_key_store, made.uri, tmp_path / "backup", **answer) == "noimport"
        return
    if made.kind == "passphrase":
        (tmp_path / "secret").write_bytes((made.base / "secret").read_bytes())
        (tmp_path / "secret").chmod(0o600)

    restored = restore_key_store(made.uri, tmp_path / "backup", **answer)

    assert restored.public("wrap") == kept.public("wrap")
    assert restored.capabilities() == made.store.capabilities()


# destroy --------------------------------------------------------------------------------------


def test_destroy_leaves_nothing_that_opens(fresh):
    kept = {path.name: path.read_bytes() for path in (fresh.base / "keys").iterdir()}

    days = fresh.store.destroy()

    assert (days > 0) == ("destroy:delayed" in fresh.store.capabilities())
    assert not (fresh.base / "keys").exists()
    assert not list(fresh.base.glob(".*"))
    assert why(open_key_store, fresh.uri, base=fresh.base) == "missing"
    if fresh.kind in {"file", "passphrase"}:
        return
    # A copy of the folder does not bring the keys back: what guards it is gone, too.
    (fresh.base / "keys").mkdir(mode=0o700)
    for name, data in kept.items():
        (fresh.base / "keys" / name).touch(mode=0o600)
        (fresh.base / "keys" / name).write_bytes(data)
    assert why(open_key_store, fresh.uri, base=fresh.base) in {"tokenkey", "kmsstate"}


# Nothing secret is told -----------------------------------------------------------------------


def test_every_use_is_logged_and_no_secret_is(made, caplog):
    caplog.set_level(logging.DEBUG, "concura")
    store = open_key_store(made.uri, base=made.base)
    caplog.clear()

    store.sign(b"MARKER message")
    store.witness(b"MARKER message")
    store.unwrap(wrap_content_key(store.public("wrap"), KEY))
    store.unwrap_aes(store.wrap_aes(KEY))

    lines = [record.getMessage() for record in caplog.records]
    used = [line.split("use=")[1].split()[0] for line in lines if "private key used" in line]
    assert used == ["sign", "witness", "wrap", "root", "root"]
    assert fingerprint(store.public("sign"))[:16] in lines[0]
    root = (made.base / "keys" / "root.key").read_text().split()[-1]
    assert not any("MARKER" in line or root in line for line in lines)


def test_no_store_shows_a_secret_of_itself(made):
    text = repr(made.store) + str(made.store)

    assert "MARKER" not in text
    assert "key=" not in text


def test_errors_are_ours_when_the_folder_is_gone(made, tmp_path):
    with pytest.raises(KeyUnavailable) as caught:
        open_key_store(made.uri, base=tmp_path / "elsewhere")
    assert caught.value.why == "missing"
