"""Invariants of the contract, the trees and every parser, over inputs that nobody thought of."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from concura.canonical import b64encode
from concura.errors import ChainInvalid, EntryRefused, StoreCorrupt
from concura.ledger import (
    Genesis,
    Header,
    MemberCard,
    State,
    decode_block,
    decode_entry,
    decode_receipt,
    decode_record,
    parse_note,
    verify_fork,
)
from concura.ledger.contract import Call
from concura.ledger.merkle import (
    CompactRange,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root,
    verify_consistency,
    verify_inclusion,
)

A, B, C = MEMBERS = ("hospital-a", "hospital-b", "hospital-c")
IDS = [f"{number:032x}" for number in range(4)]
DIGESTS = ["00" * 32, "11" * 32]
PURPOSES = ["treatment", "research", "public-health"]
NOW = 1_000_000


def card(member):
    seed = member.encode().ljust(40, b".")
    return {
        "member": member,
        "name": member,
        "sign": b64encode(b"s" + seed),
        "wrap": b64encode(b"w" + seed),
        "witness": b64encode(seed[-22:] + seed[:10]),
        "tls": seed[:32].hex(),
        "authority": b64encode(seed),
    }


ids, digests = st.sampled_from(IDS), st.sampled_from(DIGESTS)
purposes, people = st.sampled_from(PURPOSES), st.sampled_from(MEMBERS)
metrics = st.dictionaries(st.sampled_from(["auc", "brier"]), st.none() | st.integers(-9, 9))
BODIES = {
    "consent.grant": st.fixed_dictionaries(
        {
            "purpose": purposes,
            "reader": people,
            "not_after_ms": st.integers(NOW, NOW + 9),
            "consents": st.lists(
                st.fixed_dictionaries({"id": ids, "subject": digests}), min_size=1, max_size=2
            ),
        }
    ),
    "consent.revoke": st.fixed_dictionaries(
        {
            "consents": st.sets(ids, min_size=1, max_size=2).map(sorted),
        }
    ),
    "transfer.request": st.fixed_dictionaries(
        {
            "transfer": ids,
            "holder": people,
            "purpose": purposes,
            "request_digest": digests,
        }
    ),
    "transfer.offer": st.fixed_dictionaries({"transfer": ids, "consent": ids, "digest": digests}),
    "transfer.refuse": st.fixed_dictionaries({"transfer": ids, "reason": st.just("no")}),
    "transfer.acknowledge": st.fixed_dictionaries({"transfer": ids, "digest": digests}),
    "study.open": st.fixed_dictionaries(
        {
            "study": ids,
            "task_digest": digests,
            "purpose": st.just("research"),
            "participants": st.just(list(MEMBERS)),
            "consent_height": st.just(1),
            "minimum": st.just(3),
        }
    ),
    "round.close": st.fixed_dictionaries(
        {
            "study": ids,
            "round": st.integers(1, 3),
            "participants": st.just(list(MEMBERS)),
            "model_digest": digests,
            "metrics": metrics,
        }
    ),
    "model.publish": st.fixed_dictionaries({"study": ids, "model": digests, "metrics": metrics}),
    "access.anchor": st.fixed_dictionaries({"root": digests, "size": st.integers(0, 5)}),
}
calls = st.sampled_from(sorted(BODIES)).flatmap(
    lambda kind: st.tuples(st.just(kind), people, BODIES[kind], st.integers(NOW, NOW + 9))
)
stories = st.lists(calls, max_size=40)


def founded():
    state = State()
    body = {"quorum": 3, "members": [card(member) for member in MEMBERS]}
    assert state.apply(Call("ff" * 32, "consortium.found", "", 0, body)).refusal is None
    return state


def play(story, state):
    """Apply a story; yield the call, the outcome, and the state before."""
    for number, (kind, author, body, time_ms) in enumerate(story):
        before = dict(state.pairs("", "\U0010ffff"))
        call = Call(f"{number:064x}", kind, author, time_ms, body)
        yield call, state.apply(call), before


@given(stories)
@settings(max_examples=150)
def test_no_member_causes_a_delivery_to_itself_by_its_own_entries_alone(story):
    state, heard = founded(), {}
    for call, outcome, _ in play(story, state):
        if outcome.refusal is None and "transfer" in call.body:
            heard.setdefault(call.body["transfer"], set()).add(call.author)
    for number in IDS:
        found = state.get(f"transfer/{number}")
        if found is not None and found["status"] in ("offered", "acknowledged"):
            assert found["reader"] != found["holder"]
            assert heard[number] == {found["reader"], found["holder"]}
            consent = state.get(f"consent/{found['consent']}")
            assert (consent["holder"], consent["reader"]) == (found["holder"], found["reader"])


@given(stories)
@settings(max_examples=100)
def test_an_offer_needs_a_consent_that_is_active_at_that_moment(story):
    for call, outcome, before in play(story, founded()):
        if call.type == "transfer.offer" and outcome.refusal is None:
            consent = before[f"consent/{call.body['consent']}"]
            assert consent["status"] == "active"
            assert consent["holder"] == call.author
            assert consent["not_after_ms"] >= call.time_ms


@given(stories)
@settings(max_examples=100)
def test_refusals_write_nothing_and_the_same_story_gives_the_same_state(story):
    one, two = founded(), founded()
    for call, outcome, before in play(story, one):
        if outcome.refusal is not None:
            assert outcome.writes == {}
            assert one.pairs("", "\U0010ffff") == before
        # The second state is driven over an overlay that is settled: it must not matter.
        upper = two.overlay()
        assert upper.apply(call) == outcome
        upper.settle()
    assert one.pairs("", "\U0010ffff") == two.pairs("", "\U0010ffff")


@given(st.lists(st.binary(max_size=5), max_size=70), st.data())
def test_every_leaf_is_proved_and_every_beginning_is_consistent(entries, data):
    leaves = [leaf_hash(entry) for entry in entries]
    size = len(leaves)
    if leaves:
        index = data.draw(st.integers(0, size - 1))
        proof = inclusion_proof(leaves, index)
        assert verify_inclusion(
            leaves[index], index, size=size, proof=proof, root_hash=root(leaves)
        )
        assert len(proof) <= (size - 1).bit_length()
    old = data.draw(st.integers(0, size))
    pair = (old, root(leaves[:old])), (size, root(leaves))
    assert verify_consistency(*pair, proof=consistency_proof(leaves, old))


@given(
    st.lists(st.binary(min_size=32, max_size=32), max_size=8),
    st.integers(-1, 9),
    st.integers(-1, 9),
)
def test_verifiers_answer_any_proof_with_yes_or_no(proof, first, second):
    assert verify_inclusion(bytes(32), first, size=second, proof=proof, root_hash=bytes(32)) in (
        True,
        False,
    )
    pair = (first, bytes(32)), (second, bytes(31) + b"x")
    assert verify_consistency(*pair, proof=proof) in (True, False)


@given(st.integers(0, 200), st.integers(0, 200))
def test_a_tree_cut_in_two_goes_on_as_one(first, second):
    leaves = [leaf_hash(bytes([number])) for number in range(200)]
    whole = CompactRange()
    for leaf in leaves[:first]:
        whole.append(leaf)
    later = CompactRange(whole.size, whole.peaks)
    for leaf in leaves[first : first + second]:
        later.append(leaf)
    assert later.root() == root(leaves[: first + second])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(
    json_values,
    st.sampled_from(sorted([*BODIES, "consortium.found", "member.apply", "member.admit"])),
)
@settings(max_examples=200)
def test_the_contract_answers_any_body_with_an_outcome(body, kind):
    outcome = founded().apply(Call("00" * 32, kind, "hospital-a", 0, body))
    assert outcome.refusal is not None or outcome.writes


@given(json_values)
def test_any_json_is_a_card_or_refused(value):
    with pytest.raises(EntryRefused):
        MemberCard.from_json(value)


PARSERS = [
    (decode_block, ChainInvalid),
    (decode_entry, EntryRefused),
    (decode_receipt, ChainInvalid),
    (parse_note, ChainInvalid),
    (Genesis.decode, ChainInvalid),
    (decode_record, StoreCorrupt),
    (Header.unpack, ChainInvalid),
    (lambda data: verify_fork(data, hub_witness=bytes(32)), ChainInvalid),
]


@pytest.mark.parametrize(("parse", "error"), PARSERS)
@given(data=st.binary(max_size=300) | st.text(max_size=80).map(str.encode))
def test_any_bytes_are_read_or_refused_by_one_error(parse, error, data):
    try:
        parse(data)
    except error as refusal:
        assert refusal.message("zh")


@given(st.binary(min_size=164, max_size=164))
def test_every_164_bytes_are_a_header_and_pack_to_themselves(data):
    assert Header.unpack(data).pack() == data


def test_a_range_is_the_same_over_one_or_two_states():
    keys = ["a", "a/1", "a/2", "a0", "ab/1", "b/1"]
    for count in range(len(keys) + 1):
        for below in itertools.combinations(keys, count):
            base = State()
            base.absorb({key.partition("/")[0]: {} for key in keys})
            for key in below:
                base.absorb({key.partition("/")[0]: {key: {"at": "below"}}})
            upper = base.overlay()
            for key in keys:
                if key not in below:
                    upper.absorb({key.partition("/")[0]: {key: {"at": "above"}}})
            assert [key for key, _ in upper.range("a/", "a0")] == ["a/1", "a/2"]
            assert [key for key, _ in upper.range("", "z")] == sorted(keys)
