"""The receipt of an erasure: signed, in one form, and nothing else is taken for one."""

import json

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from concura.errors import StoreCorrupt
from concura.limits import KEY_BACKUP_WINDOW_MS
from concura.sealing import Erasure, Receipt, fingerprint, read_receipt

PRIVATE = rsa.generate_private_key(65_537, 3_072)
PUBLIC = PRIVATE.public_key().public_bytes(
    serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
)
PSS = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
DAY = 24 * 3_600_000
ERASURE = Erasure(b"t" * 32, 1, 1_700_000_000_000)


def signed(erasure=ERASURE, holder=None, private=PRIVATE):
    receipt = Receipt(erasure, holder or fingerprint(PUBLIC))
    return Receipt(
        erasure, receipt.holder, private.sign(receipt.body(), PSS, hashes.SHA256())
    ).to_bytes()


def test_a_receipt_is_read_back_and_states_both_dates():
    data = signed()

    assert read_receipt(data, public=PUBLIC) == ERASURE
    said = json.loads(data)
    assert said["deleted_ms"] == ERASURE.time_ms
    assert said["rewrap_ms"] == ERASURE.time_ms + DAY
    assert said["complete_ms"] == ERASURE.time_ms + 30 * DAY == ERASURE.complete_ms
    assert KEY_BACKUP_WINDOW_MS == 30 * DAY


def test_every_changed_byte_of_a_receipt_is_refused():
    data = signed()

    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 1
        with pytest.raises(StoreCorrupt):
            read_receipt(bytes(changed), public=PUBLIC)


def test_a_receipt_of_another_hospital_is_refused():
    other = rsa.generate_private_key(65_537, 3_072)

    with pytest.raises(StoreCorrupt):
        read_receipt(signed(private=other), public=PUBLIC)
    with pytest.raises(StoreCorrupt):
        read_receipt(signed(holder="0" * 64), public=PUBLIC)


@pytest.mark.parametrize(
    "erasure",
    [
        Erasure(b"t" * 31, 1, 5),
        Erasure(b"t" * 32, 0, 5),
        Erasure(b"t" * 32, 1, -5),
    ],
)
def test_a_receipt_with_impossible_values_is_refused_although_it_is_signed(erasure):
    with pytest.raises(StoreCorrupt):
        read_receipt(signed(erasure), public=PUBLIC)


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b"null", b"\xff", b"{" * 70_000, b"1" * 70_000]
)
def test_garbage_is_no_receipt(data):
    with pytest.raises(StoreCorrupt):
        read_receipt(data, public=PUBLIC)
