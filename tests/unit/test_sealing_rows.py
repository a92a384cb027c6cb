"""At rest: a row opens in its own place only."""

import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from concura.errors import LANGUAGES, KeyUnavailable, StoreCorrupt
from concura.sealing import open_row, seal_row, token, unwrap_key, wrap_key

KEY, NONCE = bytes(range(32)), bytes(range(12))
PLACE = {"store": "records", "kind": "Patient", "id": "p1", "version": 2}


def test_a_row_opens_in_its_place():
    row = seal_row(b"body", key=KEY, nonce=NONCE, **PLACE)

    assert open_row(row, key=KEY, **PLACE) == b"body"
    assert len(row) == len(b"body") + 28


@pytest.mark.parametrize(
    "change", [{"store": "other"}, {"kind": "Observation"}, {"id": "p2"}, {"version": 1}]
)
def test_a_swapped_or_rolled_back_row_is_refused(change):
    row = seal_row(b"body", key=KEY, nonce=NONCE, **PLACE)

    with pytest.raises(StoreCorrupt) as caught:
        open_row(row, key=KEY, **(PLACE | change))

    assert caught.value.why == "row"
    for lang in LANGUAGES:
        assert "p1" not in caught.value.message(lang)


def test_every_changed_bit_of_a_row_is_refused():
    row = seal_row(b"body", key=KEY, nonce=NONCE, **PLACE)

    for position in range(len(row) * 8):
        changed = bytearray(row)
        changed[position // 8] ^= 1 << position % 8
        with pytest.raises(StoreCorrupt):
            open_row(bytes(changed), key=KEY, **PLACE)


def test_a_cut_row_or_another_key_is_refused():
    row = seal_row(b"body", key=KEY, nonce=NONCE, **PLACE)

    for length in range(len(row)):
        with pytest.raises(StoreCorrupt):
            open_row(row[:length], key=KEY, **PLACE)
    with pytest.raises(StoreCorrupt):
        open_row(row, key=bytes(32), **PLACE)


def test_a_row_is_the_documented_aes_gcm():
    row = seal_row(b"body", key=KEY, nonce=NONCE, **PLACE)
    place = b'{"id":"p1","store":"records","type":"Patient","version":2}'

    assert row == NONCE + AESGCM(KEY).encrypt(NONCE, b"body", place)


def test_keys_and_nonces_of_another_length_are_refused():
    with pytest.raises(ValueError, match="row key"):
        seal_row(b"", key=bytes(16), nonce=NONCE, **PLACE)
    with pytest.raises(ValueError, match="row key"):
        seal_row(b"", key=KEY, nonce=bytes(8), **PLACE)
    with pytest.raises(ValueError, match="wrapping key"):
        wrap_key(bytes(16), KEY)
    with pytest.raises(ValueError, match="token key"):
        token(b"", "x")


def test_a_key_is_wrapped_as_rfc_3394_section_4_6_shows():
    kek = bytes.fromhex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f")
    key = bytes.fromhex("00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f")

    wrapped = wrap_key(kek, key)

    assert wrapped.hex() == (
        "28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21"
    )
    assert unwrap_key(kek, wrapped) == key


def test_a_changed_wrapped_key_is_refused():
    wrapped = wrap_key(KEY, KEY)

    for bad in (wrapped[:-1], wrapped[:-8], b"", bytes(40), wrapped[:-1] + b"\0"):
        with pytest.raises(KeyUnavailable):
            unwrap_key(KEY, bad)


def test_a_token_is_the_documented_hmac_and_tells_fields_apart():
    message = b"".join(len(f).to_bytes(8, "big") + f for f in (b"concura token", b"urn:mrn", b"47"))

    assert token(KEY, "urn:mrn", "47") == hmac.new(KEY, message, hashlib.sha256).digest()
    assert token(KEY, "urn:mrn4", "7") != token(KEY, "urn:mrn", "47")
