"""Public keys: which are taken, what they verify, and the keyed names of patients."""

import hashlib
import hmac
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from concura.errors import EnvelopeRefused
from concura.sealing import (
    check_rsa_public,
    fingerprint,
    pseudonym,
    verify_signature,
    verify_witness,
    wrap_content_key,
)
from concura.sealing.keys import OAEP, PSS, join_fields

KEYS = Path(__file__).parents[1] / "vectors" / "envelope"


def spki(key):
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@pytest.fixture(scope="module")
def private():
    return load_pem_private_key((KEYS / "sender.pem").read_bytes(), None)


def test_a_fingerprint_is_the_sha256_of_the_public_bytes(private):
    public = spki(private.public_key())

    assert fingerprint(public) == hashlib.sha256(public).hexdigest()


def test_weak_or_foreign_public_keys_are_refused(private):
    good = spki(private.public_key())
    modulus = private.public_key().public_numbers().n
    bad = [
        b"",
        b"rubbish",
        good + b"\0",
        good[:-1],
        spki(rsa.RSAPublicNumbers(3, modulus).public_key()),
        spki(rsa.RSAPublicNumbers(65537, modulus >> 1024 | 1).public_key()),
        spki(rsa.RSAPublicNumbers(65537, modulus << 8192 | 1).public_key()),
        spki(ec.generate_private_key(ec.SECP256R1()).public_key()),
        private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    ]

    for public in bad:
        with pytest.raises(EnvelopeRefused) as caught:
            check_rsa_public(public)
        assert caught.value.why == "key"
        assert not verify_signature(public, b"m", bytes(384))


def test_a_public_key_in_another_encoding_is_refused(private):
    """A length in the long form where the short one would do: same key, other fingerprint."""
    good = spki(private.public_key())
    algorithm = good[4:19]
    assert algorithm[:2] == b"\x30\x0d"
    longer = b"\x30\x81\x0d" + algorithm[2:]
    length = int.from_bytes(good[2:4], "big") + 1
    other = good[:2] + length.to_bytes(2, "big") + longer + good[19:]

    with pytest.raises(EnvelopeRefused):
        check_rsa_public(other)


def test_a_signature_verifies_for_its_key_and_message_alone(private):
    public = spki(private.public_key())
    signature = private.sign(b"m", PSS, SHA256())

    assert verify_signature(public, b"m", signature)
    assert not verify_signature(public, b"n", signature)
    assert not verify_signature(public, b"m", signature[:-1])
    assert not verify_signature(public, b"m", b"")


def test_a_witness_signature_verifies_for_its_key_and_message_alone():
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    public, signature = key.public_key().public_bytes_raw(), key.sign(b"head")

    assert verify_witness(public, b"head", signature)
    assert not verify_witness(public, b"tail", signature)
    assert not verify_witness(public[:-1], b"head", signature)
    assert not verify_witness(public, b"head", signature[:-1])


def test_a_wrapped_content_key_opens_with_the_private_key(private):
    public = spki(private.public_key())
    content_key = bytes(range(32))

    wrapped = wrap_content_key(public, content_key)

    assert private.decrypt(wrapped, OAEP) == content_key
    assert wrap_content_key(public, content_key) != wrapped
    with pytest.raises(EnvelopeRefused):
        wrap_content_key(public, content_key[:16])


def test_pseudonyms_differ_by_chain_purpose_holder_and_reader():
    base = {"chain": "c", "purpose": "TREAT", "holder": "a", "reader": "b"}
    names = {pseudonym(bytes(32), **(base | {field: "x"})) for field in base}

    assert len(names | {pseudonym(bytes(32), **base)}) == 5
    assert pseudonym(bytes(32), **base) != pseudonym(bytes([1] * 32), **base)


def test_a_pseudonym_is_the_documented_hmac():
    message = b""
    for field in (b"concura pseudonym", b"c", b"TREAT", b"a", b"b"):
        message += len(field).to_bytes(8, "big") + field
    expected = hmac.new(bytes(32), message, hashlib.sha256).hexdigest()

    assert pseudonym(bytes(32), chain="c", purpose="TREAT", holder="a", reader="b") == expected


def test_a_pseudonym_key_of_another_length_is_refused():
    with pytest.raises(ValueError, match="pseudonym key"):
        pseudonym(b"short", chain="", purpose="", holder="", reader="")


def test_fields_do_not_run_into_each_other():
    assert join_fields("ab", "c") != join_fields("a", "bc") != join_fields("abc")
