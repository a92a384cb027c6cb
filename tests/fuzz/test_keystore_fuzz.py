"""The fuzz entry's invariant holds for changed key files, certificates and invitations, and noise."""

import random
import runpy
import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concura.adapters import certificates
from concura.adapters.keys_file import FileKeyStore
from concura.hospital import Invitation
from concura.ledger import Genesis, MemberCard, quorum_of

HERE = Path(__file__).parent
NOW = datetime(2029, 12, 1, tzinfo=UTC)
one = runpy.run_path(str(HERE / "fuzz_keystore_files.py"))["one"]


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("seeds")
    store = FileKeyStore.create(folder / "keys")
    FileKeyStore.create(folder / "locked", passphrase=b"horse")
    certificates.create_authority(folder / "tls", "hospital-a", now=NOW)
    certificates.issue(folder / "tls", names=["hospital-a"], now=NOW)
    (folder / "invitation.json").write_bytes(invitation(store, folder / "tls"))
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def invitation(store, tls):
    authority = ssl.PEM_cert_to_DER_cert(certificates.authority(tls).decode())
    card = MemberCard(
        member="hospital-a",
        name="Hospital A",
        sign=store.public("sign"),
        wrap=store.public("wrap"),
        witness=store.public("witness"),
        tls=certificates.tls_fingerprint(certificates.certificate(tls)),
        authority=authority,
    )
    genesis = Genesis(
        name="c",
        created_ms=0,
        difficulty_bits=0,
        quorum=quorum_of(1),
        hub_name="hub",
        hub_witness=bytes(range(32)),
        hub_authority=authority,
        founders=(card,),
    )
    return Invitation("https://127.0.0.1:1", authority, genesis).encode()


def changed(data, chance):
    """Flip, cut, double or splice: what a damaged disk or a curious person does to a file."""
    at = chance.randrange(len(data))
    return chance.choice(
        [
            lambda: data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :],
            lambda: data[:at],
            lambda: data[:at] + data,
            lambda: data[at:] + data[:at],
            lambda: data[:at] + chance.randbytes(chance.randrange(9)) + data[at:],
            lambda: data * 3,
        ]
    )()


def test_every_seed_and_every_change_of_it_gives_only_our_errors(seeds, tmp_path):
    chance = random.Random(4)

    for data in seeds.values():
        one(data, tmp_path)
        for _ in range(12):
            one(changed(data, chance), tmp_path)


@given(data=st.binary(max_size=300))
def test_noise_gives_only_our_errors(data):
    one(data)


def test_a_very_large_file_is_refused_without_being_read_whole(tmp_path):
    one(b"-----BEGIN CERTIFICATE-----\n" + b"A" * 1_000_000, tmp_path)
    one(b"concura-root-v1 plain " + b"A" * 1_000_000, tmp_path)
    one(b"[" * 1_000_000, tmp_path)
