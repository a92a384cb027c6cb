"""The suites: one table per consortium, other libraries as oracles, no way from one to another."""

import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.keywrap import aes_key_wrap
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from concura import sealing
from concura.adapters.keys_file import FileKeyStore
from concura.adapters.keys_pq import PqKeyFile
from concura.adapters.keys_sm import SmKeyStore
from concura.errors import LANGUAGES, ConfigInvalid, EnvelopeRefused, KeyUnavailable, StoreCorrupt
from concura.sealing import AES, SM, suite_named
from concura.sealing.hpke import hpke_private, hpke_public, unwrap_hpke, wrap_hpke
from concura.sealing.sm import Sm4Gcm, sm4_key_unwrap, sm4_key_wrap
from concura.sealing.sm2 import (
    SM2_ORDER,
    Sm2Library,
    check_sm2_public,
    is_sm2_ciphertext,
    is_sm2_signature,
    verify_sm2,
    wrap_sm2,
)

VECTORS = Path(__file__).parents[1] / "vectors"
NUMBERS = (bytes(31) + b"\x07", bytes(31) + b"\x09")


@cache
def rsa_store():
    keys = [
        load_pem_private_key((VECTORS / "envelope" / f"{n}.pem").read_bytes(), None)
        for n in ("sender", "reader")
    ]
    return FileKeyStore(
        sign=keys[0], wrap=keys[1], witness=Ed25519PrivateKey.generate(), root=bytes(32)
    )


@cache
def sm_store():
    return SmKeyStore(NUMBERS, rsa_store())


def why(kind, call, /, *args, **kwargs):
    with pytest.raises(kind) as caught:
        call(*args, **kwargs)
    for lang in LANGUAGES:
        assert caught.value.message(lang)
        assert caught.value.hint(lang)
    return caught.value.why


# The tables ---------------------------------------------------------------------------------------


def test_a_suite_is_found_by_its_name_and_no_other():
    assert suite_named("aes") is AES
    assert suite_named("sm") is SM
    assert why(ConfigInvalid, suite_named, "des") == "suite"
    assert why(ConfigInvalid, suite_named, "aes", pq="maybe") == "suite"
    assert why(ConfigInvalid, suite_named, "sm", pq="required") == "suite_pq"


def test_no_two_suites_share_a_name_that_stands_in_a_record():
    names = [
        {suite.cipher, suite.signing.name, *(wrapping.name for wrapping in suite.wrappings)}
        for suite in (AES, SM)
    ]

    assert not names[0] & names[1]


def test_a_key_of_one_suite_verifies_and_wraps_nothing_in_the_other():
    rsa, sm2 = rsa_store(), sm_store()

    assert sealing.verify_signature(sm2.public("sign"), b"m", sm2.sign(b"m"), suite=SM)
    assert not sealing.verify_signature(sm2.public("sign"), b"m", sm2.sign(b"m"))
    assert not sealing.verify_signature(rsa.public("sign"), b"m", rsa.sign(b"m"), suite=SM)
    wrap = sealing.wrap_content_key
    assert why(EnvelopeRefused, wrap, sm2.public("wrap"), bytes(32)) == "key"
    assert why(EnvelopeRefused, wrap, rsa.public("wrap"), bytes(16), suite=SM) == "key"
    assert why(EnvelopeRefused, wrap, sm2.public("wrap"), bytes(32), suite=SM) == "parts"


def test_a_key_of_another_length_makes_no_cipher():
    for suite, length in ((AES, 16), (AES, 24), (SM, 32)):
        with pytest.raises(ValueError, match="key"):
            suite.aead(bytes(length))
        with pytest.raises(ValueError, match="key"):
            suite.wrap_key(bytes(length), bytes(32))


# SM4 ----------------------------------------------------------------------------------------------


def key_wrap(cipher, key):
    """Mode KW as RFC 3394 §2.2.1 writes it, with indices."""
    n = len(key) // 8
    a, r = b"\xa6" * 8, [b"", *(key[8 * i : 8 * i + 8] for i in range(n))]
    for j in range(6):
        for i in range(1, n + 1):
            block = Cipher(cipher, modes.ECB()).encryptor().update(a + r[i])
            a = (int.from_bytes(block[:8], "big") ^ (n * j + i)).to_bytes(8, "big")
            r[i] = block[8:]
    return a + b"".join(r[1:])


@pytest.mark.parametrize("length", [16, 24, 32, 64])
def test_keys_are_wrapped_as_rfc_3394_says_with_sm4_in_the_place_of_aes(length):
    kek, key = bytes(range(16)), bytes(range(100, 100 + length))
    assert key_wrap(algorithms.AES(kek), key) == aes_key_wrap(kek, key)

    assert sm4_key_wrap(kek, key) == key_wrap(algorithms.SM4(kek), key)
    assert sm4_key_unwrap(kek, sm4_key_wrap(kek, key)) == key


def test_every_changed_bit_of_a_wrapped_key_is_refused():
    kek = bytes(range(16))
    wrapped = sm4_key_wrap(kek, bytes(16))

    for position in range(len(wrapped) * 8):
        changed = bytearray(wrapped)
        changed[position // 8] ^= 1 << position % 8
        assert why(KeyUnavailable, sm4_key_unwrap, kek, bytes(changed)) == "wrapped"
    for length in (0, 8, 16, 23):
        assert why(KeyUnavailable, sm4_key_unwrap, kek, wrapped[:length]) == "wrapped"
    with pytest.raises(ValueError, match="key to wrap"):
        sm4_key_wrap(kek, bytes(15))


def test_openssl_decrypts_what_sm4_encrypts(tmp_path):
    """GCM is counter mode from the nonce with 2 appended, and a tag: openssl 3.0 has the first."""
    key, nonce = bytes(range(16)), bytes(range(12))
    sealed = Sm4Gcm(key).encrypt(nonce, b"plain text of some length", b"")
    counter = nonce + b"\x00\x00\x00\x02"
    options = ["-sm4-ctr", "-K", key.hex(), "-iv", counter.hex()]

    done = subprocess.run(
        ["openssl", "enc", "-d", *options],
        input=sealed[:-16],
        capture_output=True,
        check=True,
        cwd=tmp_path,
    )

    assert done.stdout == b"plain text of some length"


@pytest.mark.parametrize("suite", [AES, SM], ids=["aes", "sm"])
def test_a_row_opens_in_its_own_place_and_suite_only(suite):
    place = {"store": "records", "kind": "Patient", "id": "p1", "version": 1}
    key = bytes(suite.key_bytes)
    row = sealing.seal_row(b"{}", key=key, nonce=bytes(12), **place, suite=suite)

    assert sealing.open_row(row, key=key, **place, suite=suite) == b"{}"
    for change in ({"version": 2}, {"id": "p2"}, {"kind": "Observation"}, {"store": "other"}):
        moved = place | change
        assert why(StoreCorrupt, sealing.open_row, row, key=key, **moved, suite=suite) == "row"
    other = SM if suite is AES else AES
    foreign = {"key": bytes(other.key_bytes), "suite": other}
    assert why(StoreCorrupt, sealing.open_row, row, **foreign, **place) == "row"
    assert why(StoreCorrupt, sealing.open_row, b"", key=key, **place, suite=suite) == "row"


def test_tokens_and_wrapped_keys_follow_the_suite():
    assert sealing.token(bytes(16), "a", suite=SM) != sealing.token(bytes(32), "a")
    wrapped = sealing.wrap_key(bytes(16), bytes(32), suite=SM)
    assert sealing.unwrap_key(bytes(16), wrapped, suite=SM) == bytes(32)


# SM2 ----------------------------------------------------------------------------------------------


def openssl(folder, *arguments, **files):
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True, check=False)


def private_pem(folder, number, point):
    """Let openssl make a PEM file of one of our keys: RFC 5915 with the curve's name."""
    curve = bytes.fromhex("a00a06082a811ccf5501822d")
    public = b"\xa1\x44\x03\x42\x00\x04" + point
    inner = b"\x02\x01\x01\x04\x20" + number + curve + public
    der = b"\x30" + bytes([len(inner)]) + inner
    return openssl(folder, "ec", "-inform", "DER", "-in", "d", d=der).stdout


def test_openssl_verifies_our_sm2_signature_and_we_verify_its(tmp_path):
    store, message = sm_store(), b"a statement"
    pem = private_pem(tmp_path, NUMBERS[0], store.public("sign")[-64:])
    options = ["-rawin", "-digest", "sm3", "-inkey", "k", "-in", "m"]
    options += ["-pkeyopt", "distid:1234567812345678"]
    files = {"k": pem, "m": message, "s": store.sign(message)}

    verified = openssl(tmp_path, "pkeyutl", "-verify", *options, "-sigfile", "s", **files)
    theirs = openssl(tmp_path, "pkeyutl", "-sign", *options).stdout

    assert b"Success" in verified.stdout
    assert verify_sm2(store.public("sign"), message, theirs)
    assert not verify_sm2(store.public("wrap"), message, theirs)
    assert not verify_sm2(b"no key", message, theirs)


def test_openssl_opens_what_we_wrap_and_we_open_what_it_wraps(tmp_path):
    store, content_key = sm_store(), bytes(range(16))
    pem = private_pem(tmp_path, NUMBERS[1], store.public("wrap")[-64:])
    ours = wrap_sm2(store.public("wrap"), content_key)

    opened = openssl(tmp_path, "pkeyutl", "-decrypt", "-inkey", "k", "-in", "c", k=pem, c=ours)
    theirs = openssl(tmp_path, "pkeyutl", "-encrypt", "-inkey", "k", "-in", "m", m=content_key)

    assert opened.stdout == content_key
    assert store.unwrap(theirs.stdout) == content_key


def test_every_changed_bit_of_an_sm2_wrap_or_signature_is_refused():
    store = sm_store()
    wrapped = wrap_sm2(store.public("wrap"), bytes(16))
    signature = store.sign(b"m")

    for position in range(len(wrapped) * 8):
        changed = bytearray(wrapped)
        changed[position // 8] ^= 1 << position % 8
        assert why(EnvelopeRefused, store.unwrap, bytes(changed)) == "wrap"
    for position in range(len(signature) * 8):
        changed = bytearray(signature)
        changed[position // 8] ^= 1 << position % 8
        assert not verify_sm2(store.public("sign"), b"m", bytes(changed))


def test_only_one_way_of_writing_sm2_values_is_taken():
    r = b"\x02\x01\x07"
    good = b"\x30\x06" + r + r

    assert is_sm2_signature(good)
    for bad in (
        b"",
        b"\x30",
        good + b"\x00",
        b"\x30\x80" + r + r + b"\x00\x00",  # indefinite length
        b"\x30\x81\x06" + r + r,  # a longer length
        b"\x30\x07\x02\x02\x00\x07" + r,  # a zero in front
        b"\x30\x06\x02\x01\x00" + r,  # zero
        b"\x30\x06\x02\x01\xff" + r,  # below zero
        b"\x30\x05\x02\x00" + r,  # nothing
        b"\x30\x09" + r + r + r,
        b"\x30\x03" + r,
        b"\x30\x26" + r + b"\x02\x21\x00" + SM2_ORDER.to_bytes(32, "big"),
    ):
        assert not is_sm2_signature(bad), bad.hex()
        assert not is_sm2_ciphertext(bad), bad.hex()


def test_an_sm2_key_is_taken_in_one_form_only():
    public = sm_store().public("wrap")

    check_sm2_public(public)
    off_the_curve = public[:-1] + bytes([public[-1] ^ 1])
    for bad in (b"", public[:-1], public + b"\x00", off_the_curve, rsa_store().public("wrap")):
        assert why(EnvelopeRefused, check_sm2_public, bad) == "key"


def test_a_missing_package_is_named_with_what_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "tongsuopy.crypto.asymciphers.ec", None)

    with pytest.raises(ConfigInvalid) as caught:
        Sm2Library()

    assert caught.value.why == "extra"
    assert "concura[sm]" in caught.value.hint("en")
    assert "concura[sm]" in caught.value.hint("zh")


# Post-quantum readers -----------------------------------------------------------------------------


def test_a_seed_grows_into_the_public_key_of_the_x_wing_draft():
    """draft-connolly-cfrg-xwing-kem, appendix C, first vector: the ends of its public key."""
    seed = bytes.fromhex("7f9c2ba4e88f827d616045507605853ed73b8093f6efbc88eb1a6eacfa66ef26")

    public = hpke_public(seed)

    assert public.hex().startswith(
        "e2236b35a8c24b39b10aa1323a96a919a2ced88400633a7b07131713fc14b2b5"
    )
    assert len(public) == 1216


def test_a_post_quantum_wrap_opens_for_its_reader_and_envelope_only():
    seed, content_key = bytes(range(32)), bytes(range(32))
    wrapped = wrap_hpke(hpke_public(seed), content_key, b"here")

    assert unwrap_hpke(hpke_private(seed), wrapped, b"here") == content_key
    for bad in ((seed, wrapped, b"there"), (bytes(32), wrapped, b"here"), (seed, b"", b"here")):
        assert why(EnvelopeRefused, unwrap_hpke, hpke_private(bad[0]), *bad[1:]) == "wrap"
    assert why(EnvelopeRefused, wrap_hpke, bytes(1216), content_key, b"") == "key"
    assert why(EnvelopeRefused, wrap_hpke, b"\xff" * 1216, content_key, b"") == "key"
    with pytest.raises(ValueError, match="seed"):
        hpke_public(bytes(31))


def test_tink_opens_a_post_quantum_wrap():
    tink = pytest.importorskip("tink", reason="needs tink")
    from tink import hybrid, secret_key_access  # noqa: PLC0415 - optional
    from tink.proto import hpke_pb2, tink_pb2  # noqa: PLC0415 - optional

    hybrid.register()
    seed = bytes(range(32))
    params = hpke_pb2.HpkeParams(
        kem=hpke_pb2.X_WING, kdf=hpke_pb2.HKDF_SHA256, aead=hpke_pb2.AES_256_GCM
    )
    public = hpke_pb2.HpkePublicKey(version=0, params=params, public_key=hpke_public(seed))
    private = hpke_pb2.HpkePrivateKey(version=0, public_key=public, private_key=seed)
    keyset = tink_pb2.Keyset(
        primary_key_id=1,
        key=[
            tink_pb2.Keyset.Key(
                key_data=tink_pb2.KeyData(
                    type_url="type.googleapis.com/google.crypto.tink.HpkePrivateKey",
                    value=private.SerializeToString(),
                    key_material_type=tink_pb2.KeyData.ASYMMETRIC_PRIVATE,
                ),
                status=tink_pb2.ENABLED,
                key_id=1,
                output_prefix_type=tink_pb2.RAW,
            )
        ],
    )
    handle = tink.proto_keyset_format.parse(keyset.SerializeToString(), secret_key_access.TOKEN)
    wrapped = wrap_hpke(hpke_public(seed), bytes(32), b"here")

    found = handle.primitive(hybrid.HybridDecrypt).decrypt(wrapped, b"here")
    theirs = (
        handle.public_keyset_handle().primitive(hybrid.HybridEncrypt).encrypt(bytes(32), b"there")
    )

    assert found == bytes(32)
    assert unwrap_hpke(hpke_private(seed), theirs, b"there") == bytes(32)


def test_a_post_quantum_key_is_not_taken_for_an_rsa_key_nor_the_other_way_round():
    public = hpke_public(bytes(32))

    assert AES.wrapping_for(public).is_post_quantum
    assert not AES.wrapping_for(rsa_store().public("wrap")).is_post_quantum
    required = suite_named("aes", pq="required")
    assert required.wrapping_for(public).is_post_quantum
    assert why(EnvelopeRefused, required.wrapping_for, rsa_store().public("wrap")) == "policy"
    assert why(EnvelopeRefused, sealing.wrap_content_key, public, bytes(16), suite=SM) == "key"
    assert PqKeyFile(bytes(32)).capabilities() == {"unwrap_pq"}
