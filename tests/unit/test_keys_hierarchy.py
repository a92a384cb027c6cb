"""The key hierarchy: a line of the key table opens in its own place only."""

import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives.keywrap import aes_key_wrap

from concura.errors import LANGUAGES, ConcuraError, KeyUnavailable, StoreCorrupt
from concura.sealing import (
    PatientKeys,
    unwrap_patient_keys,
    unwrap_store_key,
    wrap_patient_keys,
    wrap_store_key,
)

EPOCH_KEY = bytes(range(32))
KEYS = PatientKeys(1, b"d" * 32, b"p" * 32)
PATIENT = b"t" * 32


def wrapped():
    return wrap_patient_keys(EPOCH_KEY, KEYS, epoch=3, patient=PATIENT)


def opened(data, *, key=EPOCH_KEY, epoch=3, patient=PATIENT, generation=1):
    return unwrap_patient_keys(key, data, epoch=epoch, patient=patient, generation=generation)


def test_a_line_opens_in_its_own_place():
    assert opened(wrapped()) == KEYS
    assert len(wrapped()) == 88


@pytest.mark.parametrize("change", [{"epoch": 2}, {"patient": b"u" * 32}, {"generation": 2}])
def test_a_line_that_is_swapped_or_rolled_back_is_refused(change):
    with pytest.raises(StoreCorrupt) as caught:
        opened(wrapped(), **change)

    assert caught.value.why == "row"


def test_a_line_under_another_epoch_key_is_refused():
    with pytest.raises(KeyUnavailable):
        opened(wrapped(), key=bytes(32))


def test_every_changed_bit_of_a_line_is_refused():
    data = wrapped()

    for position in range(len(data) * 8):
        changed = bytearray(data)
        changed[position // 8] ^= 1 << position % 8
        with pytest.raises(KeyUnavailable):
            opened(bytes(changed))
    for length in range(len(data)):
        with pytest.raises(ConcuraError):
            opened(data[:length])


def test_the_line_of_a_store_key_is_none_of_a_patient_and_bound_to_its_name():
    data = wrap_store_key(EPOCH_KEY, b"k" * 32, epoch=1, name="pages")

    assert unwrap_store_key(EPOCH_KEY, data, epoch=1, name="pages") == b"k" * 32
    for epoch, name in ((2, "pages"), (1, "tokens")):
        with pytest.raises(StoreCorrupt):
            unwrap_store_key(EPOCH_KEY, data, epoch=epoch, name=name)
    with pytest.raises(StoreCorrupt):
        opened(data, epoch=1)
    with pytest.raises(StoreCorrupt):
        unwrap_store_key(EPOCH_KEY, wrapped(), epoch=3, name="pages")


def test_a_line_is_the_documented_key_wrap():
    fields = (b"concura key place", b"patient", PATIENT, (3).to_bytes(8, "big"))
    fields += ((1).to_bytes(8, "big"),)
    place = hashlib.sha256(b"".join(len(f).to_bytes(8, "big") + f for f in fields)).digest()[:16]

    assert wrapped() == aes_key_wrap(EPOCH_KEY, KEYS.data + KEYS.pseudonym + place)


def test_wrapping_takes_no_nonce_so_that_a_restored_table_cannot_use_one_twice():
    assert wrapped() == wrapped()


def test_keys_of_another_length_are_refused():
    with pytest.raises(ValueError, match="patient key"):
        wrap_patient_keys(EPOCH_KEY, PatientKeys(1, b"", b"p" * 32), epoch=1, patient=PATIENT)
    with pytest.raises(ValueError, match="store key"):
        wrap_store_key(EPOCH_KEY, b"", epoch=1, name="pages")


def test_opened_keys_show_no_key():
    shown = repr(KEYS)

    assert "d" * 8 not in shown
    assert "p" * 8 not in shown


def test_a_refusal_names_no_patient():
    with pytest.raises(StoreCorrupt) as caught:
        opened(wrapped(), patient=hmac.digest(b"k", b"x", "sha256"))

    for lang in LANGUAGES:
        assert PATIENT.hex() not in caught.value.message(lang)
