"""A consortium of the SM suite: its genesis, its members' keys, its entries, its mail."""

import asyncio
from contextlib import closing
from dataclasses import replace
from functools import cache

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from concura.adapters.keys_sm import SmKeyStore
from concura.adapters.sqlite_records import SqliteRecords
from concura.adapters.system import SystemRandomness
from concura.canonical import decode, encode
from concura.cli.node import make_node
from concura.errors import ChainInvalid, EntryRefused, KeyUnavailable, StreamRefused
from concura.ledger import Chain, Genesis, MemberCard
from concura.ledger.chain import genesis_entries
from concura.ledger.entry import Entry, decode_entry, message, sign_entry
from concura.ledger.genesis import founding_message
from concura.ledger.proofs import Trust
from concura.profiles import load_settings, open_keys, suite_of, suited
from concura.sealing import AES, SM, fingerprint, unwrap_key, wrap_key
from concura.sealing.stream import SegmentCipher, make_header
from concura.testing.ledgers import START_MS, Consortium, party
from concura.types import MemberId


@cache
def town():
    return Consortium.found(3)


class Witness:
    """The part of a key store that SM2 keys stand beside."""

    def __init__(self, name):
        self._key = Ed25519PrivateKey.from_private_bytes(name.encode().ljust(32))

    def public(self, _use):
        return self._key.public_key().public_bytes_raw()


@cache
def store(name):
    first = 2 * int.from_bytes(name.encode(), "big")  # room for the second key
    return SmKeyStore(tuple((first + n).to_bytes(32, "big") for n in (0, 1)), Witness(name))


def card(name):
    keys = store(name)
    rsa = party("hospital-a").card
    return replace(
        rsa,
        member=MemberId(name),
        sign=keys.public("sign"),
        wrap=keys.public("wrap"),
        witness=keys.public("witness"),
        tls=fingerprint(name.encode()),
    )


def genesis(**changes):
    values = {
        "name": "SM consortium",
        "created_ms": START_MS,
        "difficulty_bits": 2,
        "quorum": 3,
        "hub_name": "hub",
        "hub_witness": town().hub.public_key().public_bytes_raw(),
        "hub_authority": b"certificate of the hub".ljust(64),
        "founders": tuple(card(f"sm-{n}") for n in "abc"),
        "suite": SM,
    }
    return Genesis(**(values | changes))


def founded(document, signer=store):
    chain = Chain(document)
    statement = founding_message(document.chain)
    signatures = {one.member: signer(one.member).sign(statement) for one in document.founders}
    consortium = Consortium(chain, {}, town().hub)
    consortium.seal(genesis_entries(document, signatures))
    return consortium


def test_a_suite_stands_in_the_genesis_only_where_it_is_not_the_default():
    plain, sm = town().chain.genesis, genesis()

    assert "suite" not in decode(plain.encode())
    assert decode(sm.encode())["suite"] == "sm"
    assert Genesis.decode(sm.encode()).suite is SM
    assert Genesis.decode(plain.encode()).suite is AES
    assert Trust.of(sm).suite is SM
    assert replace(sm, suite=AES).chain != sm.chain


@pytest.mark.parametrize("value", ["aes", "des", "", None, 1, ["sm"]])
def test_a_genesis_that_writes_another_suite_or_the_default_is_refused(value):
    data = encode(decode(genesis().encode()) | {"suite": value})

    with pytest.raises(ChainInvalid):
        Genesis.decode(data)


def test_founders_with_sm2_keys_found_a_chain_and_enter_entries():
    consortium = founded(genesis())
    me = store("sm-a")
    entry = Entry(
        chain=consortium.chain.id,
        type="transfer.request",
        author=MemberId("sm-a"),
        time_ms=consortium.now_ms,
        nonce="00" * 16,
        body={
            "transfer": "0f" * 16,
            "holder": "sm-b",
            "purpose": "treatment",
            "request_digest": "ab" * 32,
        },
    )
    signed = sign_entry(entry, fingerprint(me.public("sign")), me.sign(message(entry)))
    forged = sign_entry(entry, fingerprint(me.public("sign")), store("sm-b").sign(message(entry)))

    outcome = consortium.chain.check_entry(decode_entry(signed), now_ms=consortium.now_ms)
    consortium.seal([signed])

    assert outcome.refusal is None
    assert consortium.chain.height == 1
    with pytest.raises(EntryRefused) as caught:
        consortium.chain.check_entry(decode_entry(forged), now_ms=consortium.now_ms)
    assert caught.value.why == "entry.signature"


def test_members_with_keys_of_another_suite_are_refused():
    with pytest.raises(ChainInvalid) as caught:
        founded(genesis(suite=AES))
    assert caught.value.why == "founding"
    rsa = town().chain.genesis
    with pytest.raises(ChainInvalid):
        founded(replace(rsa, suite=SM), signer=party)
    for one, suite in ((card("sm-a"), AES), (rsa.founders[0], SM)):
        assert isinstance(one, MemberCard)
        with pytest.raises(EntryRefused) as refused:
            one.check_keys(suite=suite)
        assert refused.value.why == "card.key"
    card("sm-a").check_keys(suite=SM)


def test_a_card_with_one_sm2_key_for_both_uses_is_refused():
    with pytest.raises(EntryRefused):
        replace(card("sm-a"), wrap=card("sm-a").sign).check_keys(suite=SM)


# At rest ------------------------------------------------------------------------------------------


class Root:
    """As much of a key store as the record store uses."""

    def wrap_aes(self, key):
        return wrap_key(b"r" * 32, key)

    def unwrap_aes(self, wrapped):
        return unwrap_key(b"r" * 32, wrapped)


@pytest.mark.parametrize(("written", "read"), [(SM, AES), (AES, SM)], ids=["sm", "aes"])
def test_a_record_store_of_one_suite_is_refused_by_one_of_the_other(written, read, tmp_path):
    patient = {"resourceType": "Patient", "id": "p1", "name": [{"text": "王小明"}]}
    patient["identifier"] = [{"system": "urn:mrn", "value": "4711"}]

    with closing(SqliteRecords(tmp_path, Root(), SystemRandomness(), suite=written)) as store:
        asyncio.run(store.put([patient]))
        assert store.get("Patient", "p1").body == patient
        assert store.by_identifier("urn:mrn", "4711") == "p1"
    with closing(SqliteRecords(tmp_path, Root(), SystemRandomness(), suite=written)) as store:
        assert store.get("Patient", "p1").body == patient
    with pytest.raises(KeyUnavailable) as caught:
        SqliteRecords(tmp_path, Root(), SystemRandomness(), suite=read)
    assert caught.value.why == "wrapped"


@pytest.mark.parametrize("suite", [AES, SM], ids=["aes", "sm"])
def test_a_segment_of_a_stream_opens_in_its_suite_only(suite):
    header, other = make_header(bytes(32), bytes(7)), SM if suite is AES else AES
    cipher = SegmentCipher(bytes(suite.key_bytes), header, associated=b"x", suite=suite)
    foreign = SegmentCipher(bytes(other.key_bytes), header, associated=b"x", suite=other)
    sealed, found = bytearray(5 + 16), bytearray(5)

    cipher.seal(0, b"image", sealed, is_last=True)
    cipher.open(0, sealed, found, is_last=True)

    assert found == b"image"
    with pytest.raises(StreamRefused):
        foreign.open(0, sealed, found, is_last=True)
    for position in range(len(sealed) * 8):
        changed = bytearray(sealed)
        changed[position // 8] ^= 1 << position % 8
        with pytest.raises(StreamRefused):
            cipher.open(0, changed, found, is_last=True)
    with pytest.raises(ValueError, match="key"):
        SegmentCipher(bytes(other.key_bytes), header, associated=b"x", suite=suite)


def test_a_node_of_the_sm_suite_is_made_with_sm2_keys_on_its_card(tmp_path, monkeypatch):
    monkeypatch.setenv("CONCURA_SUITE", "sm")

    made, _ = make_node(tmp_path / "node", MemberId("hospital-a"), "Hospital A")

    made.check_keys(suite=SM)
    settings = load_settings(tmp_path / "node", environment={"CONCURA_SUITE": "sm"}).settings
    assert suite_of(tmp_path / "node", settings) is SM
    keys = suited(open_keys(tmp_path / "node", settings), tmp_path / "node", SM)
    assert (keys.public("sign"), keys.public("wrap")) == (made.sign, made.wrap)
