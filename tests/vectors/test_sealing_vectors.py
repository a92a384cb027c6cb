"""Every stored sealed record is opened or refused, at the stated step, for the stated reason."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from concura.adapters.keys_file import FileKeyStore
from concura.errors import EnvelopeRefused
from concura.sealing import (
    check_context,
    check_digest,
    check_recipient,
    fingerprint,
    parse,
    unseal,
    verify,
)
from concura.sealing.refusal import STEPS

FOLDER = Path(__file__).with_name("envelope")
VECTORS = sorted(FOLDER.glob("*.txt"))
LEDGER = {
    "chain": "ab" * 32,
    "transfer": "00112233445566778899aabbccddeeff",
    "consent": "cd" * 16,
    "purpose": "TREAT",
    "sender": "hospital-a",
}


def read(path):
    head, _, data = path.read_bytes().partition(b"\n\n")
    return dict(line.split(": ", 1) for line in head.decode().splitlines() if ": " in line), data


@pytest.fixture(scope="module")
def store():
    keys = [
        load_pem_private_key((FOLDER / f"{n}.pem").read_bytes(), None) for n in ("sender", "reader")
    ]
    return FileKeyStore(
        sign=keys[0], wrap=keys[1], witness=Ed25519PrivateKey.generate(), root=bytes(32)
    )


def open_fully(store, data, digest):
    me = fingerprint(store.public("wrap"))
    sealed = parse(data)
    check_digest(sealed, digest)
    opened = unseal(sealed, store.unwrap(sealed.encrypted_key(me)))
    record = verify(opened, sender_public=store.public("sign"))
    check_context(record, **LEDGER)
    check_recipient(record, me)
    return record


def outcome_of(store, data, digest):
    try:
        record = open_fully(store, data, digest)
    except EnvelopeRefused as error:
        return error.why, error.values["step"]
    is_whole = record.media_type == "application/fhir+json" and "王小明" in record.body.decode()
    return ("opened" if is_whole else "changed"), 0


@pytest.mark.parametrize("path", VECTORS, ids=[path.stem for path in VECTORS])
def test_a_stored_record_is_opened_or_refused_as_stated(path, store):
    head, data = read(path)

    outcome = outcome_of(store, data, head.get("ledger", ""))

    assert outcome == (head["expect"], int(head["step"]))


def test_every_refusal_of_a_reader_has_a_vector():
    shown = {read(path)[0]["expect"] for path in VECTORS}

    # A vector of 64 MiB is made by a unit test, `policy` has its vectors in ../pq; step 0 is the
    # sealer's own side.
    assert {why for why, step in STEPS.items() if step} - shown == {"size", "policy"}
