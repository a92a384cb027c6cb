"""SM2 and post-quantum keys beside a key store, in files: made once, guarded, logged, refused."""

import logging

import pytest

from concura.adapters.keys_file import FileKeyStore
from concura.adapters.keys_pq import PqKeyFile
from concura.adapters.keys_sm import SmKeyStore
from concura.canonical import b64encode
from concura.errors import EnvelopeRefused, KeyUnavailable
from concura.sealing import SM, verify_signature, verify_witness, wrap_content_key
from concura.sealing.hpke import wrap_hpke
from concura.sealing.sm2 import SM2_ORDER

MADE = pytest.mark.parametrize(
    ("kind", "name"), [(SmKeyStore, "sm2.key"), (PqKeyFile, "pq.key")], ids=["sm", "pq"]
)


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    return [FileKeyStore.create(folder / name) for name in ("mine", "other")]


@pytest.fixture
def folder(tmp_path):
    tmp_path.chmod(0o700)
    return tmp_path


def why(call, *args):
    with pytest.raises(KeyUnavailable) as caught:
        call(*args)
    assert caught.value.hint("zh")
    return caught.value.why


@MADE
def test_keys_are_the_same_after_opening_and_are_never_overwritten(kind, name, folder, stores):
    made = kind.create(folder, stores[0])
    opened = kind.open(folder, stores[0])

    public = "public_pq" if kind is PqKeyFile else "public"
    uses = [()] if kind is PqKeyFile else [("sign",), ("wrap",), ("witness",)]
    assert [getattr(made, public)(*u) for u in uses] == [getattr(opened, public)(*u) for u in uses]
    assert (folder / name).stat().st_mode & 0o777 == 0o600
    assert why(kind.create, folder, stores[0]) == "exists"


@MADE
def test_a_key_file_that_is_not_whole_ours_or_alone_is_refused(kind, name, folder, stores):
    path = folder / name
    assert why(kind.open, folder, stores[0]) == "missing"
    kind.create(folder, stores[0])
    good = path.read_bytes()

    assert why(kind.open, folder, stores[1]) == "wrapped"
    short = b64encode(stores[0].wrap_aes(bytes(16))).encode()
    scheme = good.split(b" ")[0]
    for bad in (b"x", b"\xff" * 80, scheme + b" !!\n", scheme + b" " + short + b"\n", good + good):
        path.write_bytes(bad)
        assert why(kind.open, folder, stores[0]) == "garbage"
    path.write_bytes(good)
    path.chmod(0o644)
    assert why(kind.open, folder, stores[0]) == "readable"


def test_numbers_that_make_no_sm2_key_are_refused(folder, stores):
    one = (1).to_bytes(32, "big")
    for bad in (bytes(32), SM2_ORDER.to_bytes(32, "big"), (SM2_ORDER - 1).to_bytes(32, "big"), one):
        wrapped = b64encode(stores[0].wrap_aes(one + bad))
        (folder / "sm2.key").write_text(f"concura-sm2-v1 {wrapped}\n")
        (folder / "sm2.key").chmod(0o600)
        assert why(SmKeyStore.open, folder, stores[0]) == "garbage"


def test_an_sm_key_store_does_what_the_port_says(folder, stores):
    store = SmKeyStore.ensure(folder / "sm", stores[0])
    again = SmKeyStore.ensure(folder / "sm", stores[0])
    wrapped = wrap_content_key(store.public("wrap"), bytes(16), suite=SM)

    assert store.capabilities() == {"sign", "unwrap", "wrap_aes"}
    assert verify_signature(again.public("sign"), b"m", store.sign(b"m"), suite=SM)
    assert again.unwrap(wrapped) == bytes(16)
    assert verify_witness(store.public("witness"), b"m", store.witness(b"m"))
    assert store.unwrap_aes(again.wrap_aes(bytes(32))) == bytes(32)
    assert why(store.public, "other") == "missing"
    for bad in (b"", wrapped[:-1], bytes(100)):
        with pytest.raises(EnvelopeRefused):
            store.unwrap(bad)


def test_every_use_of_the_suites_keys_is_logged_without_a_secret(folder, stores, caplog):
    caplog.set_level(logging.DEBUG)
    sm, pq = SmKeyStore.create(folder, stores[0]), PqKeyFile.create(folder, stores[0])
    wrapped = wrap_content_key(sm.public("wrap"), b"MARKER-CONTENT-K", suite=SM)
    info = b"here"

    sm.sign(b"MARKER-MESSAGE")
    sm.unwrap(wrapped)
    pq.unwrap_pq(wrap_hpke(pq.public_pq(), b"MARKER" * 5 + b"..", info), info=info)

    text = caplog.text
    assert [text.count(f"use={use} ") for use in ("sign", "wrap", "pq")] == [1, 1, 1]
    assert "MARKER" not in text
    secrets = [sm._keys[u].private_numbers().private_value for u in ("sign", "wrap")]
    assert all(f"{secret:064x}" not in text for secret in secrets)


def test_a_post_quantum_wrap_of_no_content_key_is_refused(folder, stores):
    pq = PqKeyFile.create(folder, stores[0])

    with pytest.raises(EnvelopeRefused):
        pq.unwrap_pq(wrap_hpke(pq.public_pq(), bytes(16), b""), info=b"")
