"""Every vector of keys at rest is read, and written, byte by byte."""

import itertools
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from concura.errors import KeyUnavailable, StoreCorrupt
from concura.sealing import (
    Erasure,
    PatientKeys,
    combine,
    read_receipt,
    read_share,
    split,
    unwrap_patient_keys,
    unwrap_store_key,
    wrap_patient_keys,
    wrap_store_key,
)

FOLDER = Path(__file__).with_name("keys")


def fields(name):
    lines = (FOLDER / f"{name}.txt").read_text("ascii").splitlines()
    return dict(line.split(": ", 1) for line in lines)


LINES, SHARES = fields("lines"), fields("shares")


def test_the_lines_of_the_key_table_are_the_written_ones():
    key, patient = bytes.fromhex(LINES["epoch_key"]), bytes.fromhex(LINES["patient"])
    keys = PatientKeys(1, bytes.fromhex(LINES["data"]), bytes.fromhex(LINES["pseudonym"]))
    line, pages = bytes.fromhex(LINES["patient_line"]), bytes.fromhex(LINES["pages_line"])

    assert wrap_patient_keys(key, keys, epoch=2, patient=patient) == line
    assert unwrap_patient_keys(key, line, epoch=2, patient=patient, generation=1) == keys
    assert wrap_store_key(key, bytes.fromhex(LINES["pages"]), epoch=2, name="pages") == pages
    assert unwrap_store_key(key, pages, epoch=2, name="pages").hex() == LINES["pages"]


def test_the_shares_are_the_written_ones_and_any_three_give_the_root():
    texts = [SHARES[f"share_{x}"] for x in range(1, 6)]
    made = split(
        bytes.fromhex(SHARES["secret"]),
        threshold=3,
        count=5,
        set_id=bytes([1, 2, 3, 4]),
        coefficients=bytes.fromhex(SHARES["coefficients"]),
    )

    assert [share.to_text() for share in made] == texts
    for three in itertools.combinations(texts, 3):
        assert combine(map(read_share, three)).hex() == SHARES["secret"]
    for two in itertools.combinations(texts, 2):
        with pytest.raises(KeyUnavailable):
            combine(map(read_share, two))


def test_the_receipt_is_read_and_every_cut_of_it_is_refused():
    pem = (FOLDER.parent / "envelope" / "sender.pem").read_bytes()
    public = serialization.load_pem_private_key(pem, None).public_key()
    public = public.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    data = (FOLDER / "receipt.json").read_bytes()

    found = read_receipt(data, public=public)

    assert found == Erasure(bytes.fromhex(LINES["patient"]), 1, 1_700_000_000_000)
    for length in range(len(data)):
        with pytest.raises(StoreCorrupt):
            read_receipt(data[:length], public=public)
