"""The chain's numbered steps, the gate, evidence of forks, and bundles."""

import base64
from dataclasses import replace

import pytest

from concura.canonical import b64encode, decode, encode
from concura.errors import ChainInvalid, EntryRefused
from concura.ledger import (
    Block,
    Chain,
    Trust,
    decode_block,
    decode_entry,
    entries_root,
    entry_bundle,
    fork_evidence,
    founding_message,
    genesis_entries,
    members,
    sealing_message,
    search,
    transfer,
    verify_blocks,
    verify_bundle,
    verify_consistency,
    verify_fork,
)
from concura.limits import CLOCK_SKEW_MAX_MS
from concura.testing.ledgers import START_MS, Consortium, party

CONSENT, TRANSFER = "01" * 16, "02" * 16
GRANT = {
    "purpose": "treatment",
    "reader": "hospital-b",
    "not_after_ms": START_MS + 10**9,
    "consents": [{"id": CONSENT, "subject": "ab" * 32}],
}
REQUEST = {
    "transfer": TRANSFER,
    "holder": "hospital-a",
    "purpose": "treatment",
    "request_digest": "cd" * 32,
}
OFFER = {"transfer": TRANSFER, "consent": CONSENT, "digest": "ef" * 32}


def anchor(town, size=1, **named):
    return town.say("hospital-a", "access.anchor", {"root": "00" * 32, "size": size}, **named)


@pytest.fixture
def town():
    return Consortium.found(4, difficulty_bits=2)


@pytest.fixture(scope="module")
def played():
    town = Consortium.found(4, difficulty_bits=2)
    town.seal(
        [
            town.say("hospital-a", "consent.grant", GRANT),
            town.say("hospital-b", "transfer.request", REQUEST),
        ]
    )
    town.seal([town.say("hospital-a", "transfer.offer", OFFER)])
    return town


def invalid(why, action, *arguments, **named):
    with pytest.raises(ChainInvalid) as caught:
        action(*arguments, **named)
    assert caught.value.why == why, caught.value
    assert caught.value.message("en") != caught.value.message("zh")
    return caught.value.values


def refused(rule, action, *arguments, **named):
    with pytest.raises(EntryRefused) as caught:
        action(*arguments, **named)
    assert caught.value.why == caught.value.values["rule"] == rule


def resign(town, block, **changes):
    """Change a header and do all that a dishonest hub can: mine and sign it again."""
    header = replace(block.header, nonce=0, **changes)
    nonce = search(header.pack(), town.chain.genesis.difficulty_bits, start=0, count=1 << 32)
    header = replace(header, nonce=nonce)
    return Block(header, town.hub.sign(sealing_message(header)), block.entries)


# Following ------------------------------------------------------------------------------------


def test_a_follower_that_has_only_the_digest_comes_to_the_same_state(played):
    report = verify_blocks(played.chain.id, played.blocks, now_ms=played.now_ms)
    assert (report.height, report.entries) == (2, 3)
    follower = Chain(played.chain.genesis)
    for data in played.blocks:
        follower.append(decode_block(data), now_ms=played.now_ms)
    assert follower.root() == played.chain.root()
    assert transfer(follower.state, TRANSFER)["status"] == "offered"
    assert set(members(follower.state)) == set(played.parties)


def test_entries_are_found_where_they_stand(played):
    entry = decode_entry(decode_block(played.blocks[1]).entries[1]).entry
    place = played.chain.find(entry.id)
    assert (place.height, place.index) == (1, 1)
    assert played.chain.find("00" * 32) is None
    assert played.chain.entries == 3


@pytest.mark.parametrize(
    ("why", "change"),
    [
        ("chain", {"chain": "00" * 32}),
        ("chain", {"version": 2}),
        ("height", {"height": 2}),
        ("height", {"height": 0}),
        ("previous", {"previous": "00" * 32}),
        ("timestamp", {"timestamp_ms": START_MS - 1}),
        ("timestamp", {"timestamp_ms": START_MS + 1_000 + CLOCK_SKEW_MAX_MS + 1}),
        ("count", {"count": 0}),
        ("count", {"count": 2}),
        ("root", {"root": "00" * 32}),
        ("work", {"difficulty": 1}),
        ("work", {"difficulty": 3}),
        ("sealer", {"sealer": "00" * 32}),
    ],
)
def test_each_step_refuses_a_header_that_a_dishonest_hub_signed(town, why, change):
    block = resign(town, town.make([anchor(town)]), **change)
    before = (town.chain.height, town.chain.root(), town.chain.head_hash)
    values = invalid(why, town.chain.append, block, now_ms=town.now_ms)
    assert values["where"].startswith("block ")
    assert (town.chain.height, town.chain.root(), town.chain.head_hash) == before


def test_a_block_without_work_or_signature_is_refused(town):
    block = town.make([anchor(town)])
    unmined = block.header
    while unmined.hash[0] < "4":
        unmined = replace(unmined, nonce=unmined.nonce + 1)
    lazy = Block(unmined, town.hub.sign(sealing_message(unmined)), block.entries)
    invalid("work", town.chain.append, lazy, now_ms=town.now_ms)
    invalid("signature", town.chain.append, replace(block, signature=bytes(64)), now_ms=town.now_ms)
    town.chain.append(block, now_ms=town.now_ms)


def test_an_entry_that_breaks_a_rule_spoils_its_block_and_leaves_no_trace(town):
    good = town.say("hospital-a", "consent.grant", GRANT)
    bad = town.say("hospital-a", "transfer.offer", OFFER)
    block = town.make([good, bad])
    values = invalid("entry", town.chain.append, block, now_ms=town.now_ms)
    assert values == {"where": "block 1, entry 1", "detail": "transfer.unknown"}
    assert town.chain.state.get(f"consent/{CONSENT}") is None
    assert town.chain.find(decode_entry(good).entry.id) is None
    town.seal([good])


def test_a_garbled_or_foreign_entry_spoils_its_block(town):
    header = town.make([]).header
    for data in (b"{}", anchor(town, chain="00" * 32), anchor(town, signer=party("hospital-b"))):
        block = resign(town, Block(header, b"", (data,)), count=1, root=entries_root([data]))
        invalid("entry", town.chain.append, block, now_ms=town.now_ms)


def test_time_ahead_is_looked_at_only_with_a_clock(town):
    block = town.make([], timestamp_ms=START_MS + 10**9)
    invalid("timestamp", town.chain.append, block, now_ms=town.now_ms)
    town.chain.append(block, now_ms=None)


def test_a_clock_that_was_set_back_does_not_stop_the_sealer(town):
    town.now_ms = START_MS + 500_000
    entry = anchor(town)
    town.now_ms = START_MS + 2_000
    block = town.make([entry])
    town.chain.append(block, now_ms=START_MS + 500_000)
    assert town.make([], timestamp_ms=0).header.timestamp_ms == block.header.timestamp_ms


def test_the_log_grows_consistently(played):
    chain = played.chain
    for new in range(1, chain.size + 1):
        for old in range(new + 1):
            proof = chain.consistency(old, new)
            pair = (old, chain.root(old)), (new, chain.root(new))
            assert verify_consistency(*pair, proof=proof)


# Founding -------------------------------------------------------------------------------------


def test_block_0_needs_the_signature_of_every_founder(town):
    genesis = town.chain.genesis
    entries = decode_block(town.blocks[0]).entries
    signatures = {decode(one)["member"]: decode(one)["signature"] for one in entries[1:]}
    good = {member: base64.urlsafe_b64decode(text + "==") for member, text in signatures.items()}
    invalid("founding", genesis_entries, genesis, {**dict(list(good.items())[1:])})
    for bad in (
        {**good, "hospital-b": good["hospital-a"]},
        {**good, "hospital-b": b""},
    ):
        fresh = Consortium(Chain(genesis), town.parties, town.hub)
        invalid("founding", fresh.seal, genesis_entries(genesis, bad))
    listed = genesis_entries(genesis, good)
    for entries in (
        (),
        listed[1:],
        listed[:-1],
        (*listed, listed[-1]),
        (listed[0], *listed[:0:-1]),
        (*listed[:-1], b"{}"),
        (*listed[:-1], encode({"member": "hospital-d", "signature": "="})),
    ):
        fresh = Consortium(Chain(genesis), town.parties, town.hub)
        invalid("founding", fresh.seal, entries)
    fresh = Consortium(Chain(genesis), town.parties, town.hub)
    fresh.seal(listed)


def test_a_founder_with_a_weak_key_is_refused(town):
    weak = replace(party("hospital-a").card, wrap=party("hospital-a").card.sign)
    genesis = replace(town.chain.genesis, founders=(weak,), quorum=1)
    fresh = Consortium(Chain(genesis), town.parties, town.hub)
    signature = party("hospital-a").sign(founding_message(genesis.chain))
    values = invalid("founding", fresh.seal, genesis_entries(genesis, {"hospital-a": signature}))
    assert values["where"] == "block 0"


def test_another_genesis_digest_or_no_block_at_all_does_not_verify(played):
    invalid("founding", verify_blocks, "00" * 32, played.blocks)
    invalid("founding", verify_blocks, played.chain.id, [])
    invalid("founding", verify_blocks, played.chain.id, played.blocks[1:])
    values = invalid(
        "height", verify_blocks, played.chain.id, [*played.blocks[:1], played.blocks[2]]
    )
    assert values["where"] == "block 1"
    values = invalid("block.malformed", verify_blocks, played.chain.id, [played.blocks[0], b"x"])
    assert values["where"] == "block 1"


# The gate -------------------------------------------------------------------------------------


def test_the_gate_refuses_by_chain_time_key_signature_and_rule(town):
    def check(data):
        return town.chain.check_entry(decode_entry(data), now_ms=START_MS)

    skew = CLOCK_SKEW_MAX_MS
    refused("entry.chain", check, anchor(town, chain="00" * 32))
    refused("entry.time", check, anchor(town, time_ms=START_MS + skew + 1))
    refused("entry.time", check, anchor(town, time_ms=START_MS - skew - 1))
    check(anchor(town, time_ms=START_MS - skew))
    check(anchor(town, time_ms=START_MS + skew))
    refused("entry.key", check, anchor(town, signer=party("hospital-b")))
    good = decode_entry(anchor(town))
    refused("entry.signature", check, replace(good, signature=bytes(384)).encode())
    refused(
        "member.not-active",
        check,
        town.say("hospital-f", "access.anchor", {"root": "00" * 32, "size": 1}),
    )
    refused("transfer.unknown", check, town.say("hospital-a", "transfer.offer", OFFER))


def test_the_gate_judges_against_what_was_accepted_but_not_yet_sealed(town):
    accepted = town.chain.state.copy()
    for name, kind, body in (
        ("hospital-a", "consent.grant", GRANT),
        ("hospital-b", "transfer.request", REQUEST),
        ("hospital-a", "transfer.offer", OFFER),
    ):
        signed = decode_entry(town.say(name, kind, body))
        outcome = town.chain.check_entry(signed, now_ms=town.now_ms, state=accepted)
        accepted.write(outcome)
        refused(
            "entry.duplicate", town.chain.check_entry, signed, now_ms=town.now_ms, state=accepted
        )
    assert transfer(accepted, TRANSFER)["status"] == "offered"
    assert transfer(town.chain.state, TRANSFER) is None


def test_an_applicant_proves_its_key_and_joins(town):
    new = party("hospital-e")
    digest = new.card.digest
    forged = town.say(
        "hospital-e", "member.apply", {"card": new.card.to_json()}, signer=party("hospital-f")
    )
    refused("entry.key", town.chain.check_entry, decode_entry(forged), now_ms=town.now_ms)
    weak = replace(new.card, wrap=new.card.sign)
    bad = town.say("hospital-e", "member.apply", {"card": weak.to_json()})
    refused("card.key", town.chain.check_entry, decode_entry(bad), now_ms=town.now_ms)
    broken = town.say("hospital-e", "member.apply", {"card": 5})
    refused("card.malformed", town.chain.check_entry, decode_entry(broken), now_ms=town.now_ms)
    town.seal([town.say("hospital-e", "member.apply", {"card": new.card.to_json()})])
    vote = {"member": "hospital-e", "card_digest": digest}
    town.seal(
        [
            town.say(name, "member.admit", vote)
            for name in ("hospital-a", "hospital-b", "hospital-c")
        ]
    )
    town.seal([town.say("hospital-e", "access.anchor", {"root": "00" * 32, "size": 1})])
    assert members(town.chain.state)["hospital-e"] == new.card


# Evidence -------------------------------------------------------------------------------------


def test_two_signed_headers_at_one_height_are_evidence(town):
    hub = town.chain.genesis.hub_witness
    one, two = town.make([anchor(town, 1)]), town.make([anchor(town, 2)])
    evidence = fork_evidence(one, two, hub_witness=hub)
    assert evidence == fork_evidence(two, one, hub_witness=hub)
    assert verify_fork(evidence, hub_witness=hub) == 1
    assert fork_evidence(one, one, hub_witness=hub) is None
    assert fork_evidence(one, replace(one, signature=two.signature), hub_witness=hub) is None
    assert fork_evidence(one, decode_block(town.blocks[0]), hub_witness=hub) is None
    invalid("fork", verify_fork, evidence, hub_witness=party("hospital-a").card.witness)


@pytest.mark.parametrize(
    "data", [b"", b"{}", b'{"fork":[]}', b'{"fork":["AA","AA"]}', b'{"fork":5}', b"[1]"]
)
def test_no_evidence_is_refused(data):
    invalid("fork", verify_fork, data, hub_witness=bytes(32))


# Bundles --------------------------------------------------------------------------------------


def bundle(played, witnesses=("hospital-a", "hospital-b", "hospital-c")):
    block = decode_block(played.blocks[1])
    chain = played.chain
    return entry_bundle(
        block,
        1,
        size=chain.size,
        log_path=chain.inclusion(1),
        checkpoint=played.checkpoint(witnesses),
    )


def test_a_bundle_proves_its_entry_offline(played):
    data = bundle(played)
    proven = verify_bundle(data, trust=Trust.of(played.chain.genesis))
    assert len(data) <= 10_000
    assert proven.is_final
    assert proven.entry.entry.body == REQUEST
    assert proven.header.height == 1
    assert proven.checkpoint.size == 3


def test_a_bundle_without_quorum_proves_its_place_but_is_not_final(played):
    proven = verify_bundle(
        bundle(played, ["hospital-a", "hospital-b"]), trust=Trust.of(played.chain.genesis)
    )
    assert not proven.is_final
    assert proven.cosigners == {"hospital-a", "hospital-b"}


def test_a_bundle_is_refused_under_other_trust(played):
    trust = Trust.of(played.chain.genesis)
    for change in (
        {"chain": "00" * 32},
        {"difficulty_bits": 3},
        {"members": {}},
        {"hub_witness": party("hospital-a").card.witness},
        {"members": trust.members | {"hospital-b": party("hospital-a").card}},
    ):
        invalid("bundle", verify_bundle, bundle(played), trust=replace(trust, **change))
    invalid(
        "checkpoint.signature",
        verify_bundle,
        bundle(played),
        trust=replace(trust, hub_name="other"),
    )


def test_a_bundle_with_any_part_exchanged_is_refused(played):
    value, trust = decode(bundle(played)), Trust.of(played.chain.genesis)
    block = decode_block(played.blocks[1])
    other = decode_block(played.blocks[2])
    for change in (
        {"entry": b64encode(block.entries[0])},
        {"entry": b64encode(b"{}")},
        {"index": 0},
        {"path": []},
        {"header": b64encode(other.header.pack())},
        {"signature": b64encode(bytes(64))},
        {"size": 2},
        {"log_path": []},
        {"v": 2},
        {"index": -1},
        {"path": ["zz"]},
        {"checkpoint": 5},
        {"extra": 1},
    ):
        invalid("bundle", verify_bundle, encode(value | change), trust=trust)
    older = played.checkpoint(size=2).decode()
    invalid("bundle", verify_bundle, encode(value | {"checkpoint": older}), trust=trust)
    for data in (b"", b"{}", b"x" * 10_001):
        invalid("bundle", verify_bundle, data, trust=trust)


def test_a_bundle_that_would_be_too_large_is_not_made(played):
    block = decode_block(played.blocks[0])
    invalid("bundle", entry_bundle, block, 0, size=3, log_path=[], checkpoint=b"x" * 9_000)
    invalid("bundle", entry_bundle, block, 1, size=3, log_path=[], checkpoint=b"\xff")
