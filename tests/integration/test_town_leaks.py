"""Every byte that a node hands to the hub, over a whole story, holds nothing about a patient."""

import re
import struct
from functools import lru_cache

import numpy as np
import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from concura.adapters.table_files import shipped_folder
from concura.canonical import b64decode, b64encode
from concura.learning import PRESETS
from concura.records import extract
from concura.testing.clock import run_simulated
from concura.testing.ledgers import party
from concura.testing.town import Town, patients_of

A, B, C, D = ALL = ("hospital-a", "hospital-b", "hospital-c", "hospital-d")
FEATURES = shipped_folder().features
SETTINGS = {
    **{k: list(v) if isinstance(v, tuple) else v for k, v in PRESETS["default"].items()},
    "preset": "default",
    "seed": 7,
    "rounds": 2,
    "client_rates": [0.1],
    "server_rates": [0.3],
    "outcome": FEATURES.outcome.kind,
    "horizon_days": None,
    "folds": 2,
    "minimum_hospitals": 3,
    "sensitivity": 0.9,
}


def flat(value):
    """All bytes and texts in the arguments of a call, base64url texts also decoded."""
    if isinstance(value, bytes):
        yield value
        for text in re.findall(rb"[A-Za-z0-9_-]{24,}", value):
            try:
                yield b64decode(text.decode())
            except ValueError:
                continue
    elif isinstance(value, str):
        yield from flat(value.encode())
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from flat(one)


@lru_cache(maxsize=1)
def story():
    """Play collecting, consents, a transfer, a refusal and a study; return town and all bytes."""

    async def scene():
        async with Town.found(anchor_s=10.0) as town:
            for member in ALL:
                await town.collect(member)
                node = town.node(member)
                late = town.clock.now_ms() + 10**10
                await node.cohorts.grant(node.own_patients(), not_after_ms=late)
            patient = patients_of(A, 1)[0]
            await town.ask(B, A, patient)
            consent = await town.consent(A, B, patient)
            assert (await town.ask(B, A, patient))["status"] == "acknowledged"
            await town.node(A).consents.revoke([consent])
            study = await town.node(A).train.open(SETTINGS, FEATURES.raw, list(ALL))
            await town.until(
                lambda: all(
                    (town.hospitals[m].store.fact(f"study/{study}") or b"").startswith(b"model")
                    for m in ALL
                )
            )
            await town.clock.sleep(30.0)
            await town.agree()
        said = [
            data
            for one in town.hospitals.values()
            for name, args in one.wire.heard
            for data in flat(args)
        ]
        return town, said

    return run_simulated(scene())


@pytest.fixture(scope="module")
def told():
    """What all nodes said, and what the hub's store holds, each as one run of bytes."""
    town, said = story()
    store = town.hub_store
    kept = [
        *store.journal(0, 10_000),
        *store.blocks(0, 10_000),
        *store.facts("").values(),
    ]
    kept = [data for one in kept for data in flat(one)]
    return town, b"\0".join(said), b"\0".join(kept)


def absent(told, needles):
    _, said, kept = told
    found = [needle for needle in set(needles) if needle in said or needle in kept]
    assert found == []


def everyone():
    return [patient for member in ALL for patient in patients_of(member)]


def test_the_story_was_heard_at_all(told):
    town, said, kept = told
    heard = {name for one in town.hospitals.values() for name, _ in one.wire.heard}
    assert {"submit", "send", "contribute", "put_task", "cosign", "found"} <= heard
    assert len(said) > 500_000
    assert b"consent.grant" in said
    assert b"model.publish" in kept


def test_no_name_leaves(told):
    names = {p[0]["name"][0]["family"] for p in everyone()} | {
        given for p in everyone() for given in p[0]["name"][0]["given"]
    }
    absent(told, [name.encode() for name in names if len(name) >= 6])


def test_no_record_number_or_identifier_leaves(told):
    absent(told, [p[0]["identifier"][0]["value"].encode() for p in everyone()])
    absent(told, [p[0]["identifier"][0]["system"].encode() for p in everyone()])


def test_no_logical_id_leaves(told):
    absent(told, [resource["id"].encode() for p in everyone() for resource in p])


def test_no_birth_date_leaves(told):
    dates = {p[0]["birthDate"] for p in everyone() if "birthDate" in p[0]}
    assert dates
    absent(told, [date.encode() for date in dates if len(date) == 10])


def test_no_resource_leaves_in_the_open(told):
    absent(told, [b'"resourceType"', b'"birthDate"', b'"valueQuantity"', b'"subject":{"reference"'])


def test_no_input_value_leaves_as_a_number(told):
    values = {
        float(value)
        for patient in everyone()[::5]
        for value in extract(patient, FEATURES).values
        # Small whole numbers stand everywhere by chance; measured ones with a fraction do not.
        if np.isfinite(value) and value != round(value)
    }
    assert len(values) > 30
    as_float = [struct.pack(order + "d", value) for value in values for order in "<>"]
    as_fixed = [
        struct.pack(order + "q", round(value * 2**32)) for value in values for order in "<>"
    ]
    absent(told, as_float)
    absent(told, as_fixed)
    absent(told, [repr(value).encode() for value in values if len(repr(value)) >= 7])


def test_no_contribution_travels_unmasked(told):
    town, *_ = told
    for one in town.hospitals.values():
        for name, args in one.wire.heard:
            if name == "contribute" and args[1] == "counts":
                words = np.frombuffer(args[2], "<u8")
                # A count in fixed point has 32 zero bits at its end; a masked one almost never.
                assert not (words[:5] << np.uint64(32) == 0).all()


def test_no_two_contributions_of_a_hospital_share_their_mask(told):
    town, *_ = told
    for one in town.hospitals.values():
        parts = [args for name, args in one.wire.heard if name == "contribute"]
        heads = [data[:16] for _, step, data in parts if step != "keys"]
        assert len(set(heads)) == len(heads) > 5


def test_no_pseudonym_key_leaves(told):
    town, *_ = told
    keys = [
        one.records.pseudonym_key(patient)
        for one in town.hospitals.values()
        for patient in one.records.patients()
    ]
    absent(
        told, [form for key in keys for form in (key, key.hex().encode(), b64encode(key).encode())]
    )


def test_no_private_key_leaves(told):
    needles = [b"PRIVATE KEY"]
    for member in ALL:
        one = party(member)
        for key in (one.sign_key, one.wrap_key):
            numbers = key.private_numbers()
            for secret in (numbers.p, numbers.q, numbers.d):
                data = secret.to_bytes((secret.bit_length() + 7) // 8, "big")
                needles += [data[:32], data[-32:], b64encode(data)[:40].encode()]
        raw = one.witness_key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        needles += [raw, raw.hex().encode()]
    absent(told, needles)


def test_the_ledger_names_no_read_inside_a_hospital(told):
    town, _, kept = told
    for one in town.hospitals.values():
        assert one.access.root().encode() not in kept
        assert bytes.fromhex(one.access.root()) not in kept


def test_one_patient_has_no_two_equal_pseudonyms(told):
    town, *_ = told
    subjects = re.findall(
        rb'"subject":"([0-9a-f]{64})"', b"".join(town.hub_store.journal(0, 9_999))
    )
    assert len(set(subjects)) == len(subjects) == len(everyone()) + 1
