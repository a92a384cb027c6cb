"""OAEP with SHA-256 taken off by hand: against `cryptography`, and every way to be wrong."""

import hashlib
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from concura.errors import EnvelopeRefused
from concura.sealing import wrap_content_key
from concura.sealing.oaep import strip_padding

VECTORS = json.loads(
    (Path(__file__).parent.parent / "vectors" / "keystore" / "oaep.json").read_text("utf-8")
)
LABEL = hashlib.sha256(b"").digest()


def mgf(seed, size):
    blocks = b"".join(hashlib.sha256(seed + n.to_bytes(4, "big")).digest() for n in range(20))
    return int.from_bytes(blocks[:size], "big")


def encode(message, *, seed=bytes(32), size=384, label=LABEL, first=0, separator=1, fill=0):
    """RFC 8017 §7.1.1, written down a second time and with every mistake that can be made."""
    zeros = bytes([fill]) * (size - 66 - len(message))
    block = label + zeros + bytes([separator]) + message
    masked = (int.from_bytes(block, "big") ^ mgf(seed, len(block))).to_bytes(len(block), "big")
    hidden = (int.from_bytes(seed, "big") ^ mgf(masked, 32)).to_bytes(32, "big")
    return bytes([first]) + hidden + masked


@pytest.fixture(scope="module")
def key():
    return rsa.generate_private_key(65_537, 3_072)


def bare(key, wrapped):
    numbers = key.private_numbers()
    opened = pow(int.from_bytes(wrapped, "big"), numbers.d, numbers.public_numbers.n)
    return opened.to_bytes(384, "big")


def test_what_cryptography_padded_is_taken_off(key):
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    for n in range(8):
        assert (
            strip_padding(bare(key, wrap_content_key(public, bytes([n]) * 32))) == bytes([n]) * 32
        )


@given(message=st.binary(min_size=32, max_size=32), seed=st.binary(min_size=32, max_size=32))
def test_every_key_and_seed_comes_back(message, seed):
    assert strip_padding(encode(message, seed=seed)) == message


@pytest.mark.parametrize("case", VECTORS, ids=[case["name"] for case in VECTORS])
def test_a_vector_opens_or_is_refused_as_it_says(case):
    encoded = bytes.fromhex(case["encoded"])
    if case["content_key"] is None:
        with pytest.raises(EnvelopeRefused) as caught:
            strip_padding(encoded)
        assert (caught.value.why, caught.value.values["step"]) == ("wrap", 3)
    else:
        assert strip_padding(encoded).hex() == case["content_key"]


def test_the_vectors_are_made_as_their_names_say():
    made = {name: value.hex() for name, value in cases().items()}
    assert {case["name"]: case["encoded"] for case in VECTORS} == made


def cases():
    key, seed = bytes(range(32)), bytes(range(100, 132))
    good = encode(key, seed=seed)
    return {
        "good-3072": good,
        "good-4096": encode(key, seed=seed, size=512),
        "good-key-of-zeros": encode(bytes(32), seed=bytes(32)),
        "first-byte-one": encode(key, seed=seed, first=1),
        "first-byte-high": encode(key, seed=seed, first=0x80),
        "label-of-sha1": encode(key, seed=seed, label=hashlib.sha1(b"").digest() + bytes(12)),
        "label-not-empty": encode(key, seed=seed, label=hashlib.sha256(b"x").digest()),
        "padding-not-zero": encode(key, seed=seed, fill=1),
        "separator-zero": encode(key, seed=seed, separator=0),
        "separator-two": encode(key, seed=seed, separator=2),
        "key-of-31-bytes": encode(key[:31], seed=seed),
        "key-of-33-bytes": encode(bytes([7]) + key, seed=seed),
        "key-of-64-bytes": encode(key + key, seed=seed),
        "key-empty": encode(b"", seed=seed),
        "shorter-by-a-byte": good[:-1],
        "too-short-for-anything": good[:97],
        "empty": b"",
        "all-zero": bytes(384),
    }


@given(data=st.data())
def test_a_changed_bit_anywhere_is_refused(data):
    good = encode(bytes(range(32)), seed=bytes(range(32)))
    bit = data.draw(st.integers(0, len(good) * 8 - 1))
    changed = bytearray(good)
    changed[bit // 8] ^= 1 << bit % 8

    with pytest.raises(EnvelopeRefused):
        strip_padding(bytes(changed))


@given(encoded=st.binary(max_size=600))
def test_any_bytes_give_a_key_or_our_refusal(encoded):
    with pytest.raises(EnvelopeRefused) as caught:
        strip_padding(encoded)
    assert caught.value.why == "wrap"


def test_all_refusals_look_the_same():
    said = set()
    for name, encoded in cases().items():
        if not name.startswith("good"):
            with pytest.raises(EnvelopeRefused) as caught:
                strip_padding(encoded)
            said.add(
                (str(caught.value), caught.value.hint(), str(sorted(caught.value.values.items())))
            )
    assert len(said) == 1
