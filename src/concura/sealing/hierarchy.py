"""The key hierarchy at rest: epoch key -> store keys and patients' keys -> rows (PROTOCOLS §4).

A patient has two keys, one for rows and one for pseudonyms; they are wrapped together, under the
epoch's key and with the place of their line in the key table, so that a line that is swapped with
another patient's, or rolled back to an older epoch, is refused.

The wrap is the suite's key wrap (RFC 3394), which takes no nonce: a key table that was restored
from a backup, copied or forked can never use one twice. The root that wraps epoch keys is the key
store's.

This module does NOT keep keys and does NOT draw them. Byte-exact in docs/spec/keys.md.
"""

import hmac
from dataclasses import dataclass, field

from concura.errors import StoreCorrupt
from concura.sealing.keys import join_fields
from concura.sealing.rows import unwrap_key, wrap_key
from concura.sealing.suite import AES, Suite

__all__ = [
    "PatientKeys",
    "unwrap_patient_keys",
    "unwrap_store_key",
    "wrap_patient_keys",
    "wrap_store_key",
]

_KEY_BYTES = 32
_PLACE_BYTES = 16


@dataclass(frozen=True, slots=True)
class PatientKeys:
    """One patient's keys, opened. A patient who comes back after an erasure has new ones.

    Args:
        generation: 1, and one more after each erasure.
        data: opens the patient's rows, 32 bytes.
        pseudonym: makes the patient's names on the ledger, 32 bytes.
    """

    generation: int
    data: bytes = field(repr=False)
    pseudonym: bytes = field(repr=False)


def wrap_patient_keys(
    epoch_key: bytes, keys: PatientKeys, *, epoch: int, patient: bytes, suite: Suite = AES
) -> bytes:
    """Wrap a patient's keys for their line in the key table.

    Args:
        epoch_key: 32 bytes.
        keys: two keys of 32 bytes each.
        epoch: number of the epoch.
        patient: token of the patient, as it stands in the line.
        suite: the consortium's.

    Returns:
        88 bytes; the same for the same arguments.

    Raises:
        ValueError: a key has another length.

    Example:
        >>> wrapped = wrap_patient_keys(epoch_key, keys, epoch=1, patient=token)
        >>> unwrap_patient_keys(epoch_key, wrapped, epoch=1, patient=token, generation=1) == keys
        True
    """
    if len(keys.data) != _KEY_BYTES or len(keys.pseudonym) != _KEY_BYTES:
        raise ValueError("patient key")
    place = _place(suite, "patient", patient, epoch, keys.generation)
    return wrap_key(_kek(epoch_key, suite), keys.data + keys.pseudonym + place, suite=suite)


def unwrap_patient_keys(
    epoch_key: bytes,
    wrapped: bytes,
    *,
    epoch: int,
    patient: bytes,
    generation: int,
    suite: Suite = AES,
) -> PatientKeys:
    """Open what `wrap_patient_keys` made, in the same place only.

    Args:
        epoch_key: 32 bytes.
        wrapped: 88 bytes.
        epoch: as it stands in the line.
        patient: as it stands in the line.
        generation: as it stands in the line.
        suite: the one it was wrapped with.

    Returns:
        The keys.

    Raises:
        KeyUnavailable: `wrapped`: changed, or wrapped under another key.
        StoreCorrupt: `row`: it is the line of another patient, epoch or generation.
    """
    opened = unwrap_key(_kek(epoch_key, suite), wrapped, suite=suite)
    keys, place = opened[: 2 * _KEY_BYTES], opened[2 * _KEY_BYTES :]
    # The place is not secret; the comparison in constant time costs nothing and needs no argument.
    if not hmac.compare_digest(place, _place(suite, "patient", patient, epoch, generation)):
        raise StoreCorrupt("row", file="keys", detail="patient")
    return PatientKeys(generation, keys[:_KEY_BYTES], keys[_KEY_BYTES:])


def wrap_store_key(
    epoch_key: bytes, key: bytes, *, epoch: int, name: str, suite: Suite = AES
) -> bytes:
    """Wrap a key of the store itself, such as that of its pages.

    Args:
        epoch_key: 32 bytes.
        key: 32 bytes.
        epoch: number of the epoch.
        name: which key it is.
        suite: the consortium's.

    Returns:
        56 bytes.

    Raises:
        ValueError: a key has another length.
    """
    if len(key) != _KEY_BYTES:
        raise ValueError("store key")
    plain = key + _place(suite, "store", name, epoch, 0)
    return wrap_key(_kek(epoch_key, suite), plain, suite=suite)


def unwrap_store_key(
    epoch_key: bytes, wrapped: bytes, *, epoch: int, name: str, suite: Suite = AES
) -> bytes:
    """Open what `wrap_store_key` made, under the same name and epoch only.

    Returns:
        The key, 32 bytes.

    Raises:
        KeyUnavailable: `wrapped`: changed, or wrapped under another key.
        StoreCorrupt: `row`: it is the line of another key or epoch.
    """
    opened = unwrap_key(_kek(epoch_key, suite), wrapped, suite=suite)
    if not hmac.compare_digest(opened[_KEY_BYTES:], _place(suite, "store", name, epoch, 0)):
        raise StoreCorrupt("row", file="keys", detail="store")
    return opened[:_KEY_BYTES]


def _kek(epoch_key: bytes, suite: Suite) -> bytes:
    # Keys in the table have 32 bytes in either suite; SM4 takes the first 16.
    if len(epoch_key) != _KEY_BYTES:
        raise ValueError("epoch key")
    return epoch_key[: suite.key_bytes]


def _place(suite: Suite, kind: str, name: str | bytes, epoch: int, generation: int) -> bytes:
    # 128 bits: who could find two places with one digest would still need the epoch's key.
    numbers = (number.to_bytes(8, "big") for number in (epoch, generation))
    fields = join_fields("concura key place", kind, name, *numbers)
    return suite.digest(fields)[:_PLACE_BYTES]
