"""The rules of the contract, one by one, without any signature."""

import copy
import itertools

import pytest

from concura.canonical import b64encode
from concura.ledger import State, consent, members, model, quorum, study, transfer
from concura.ledger.contract import BODIES, RULES, TABLES, Call, card_digest, quorum_of

A, B, C, D, E = (f"hospital-{letter}" for letter in "abcde")
CONSENT, OTHER, TRANSFER, STUDY = (f"{number:032x}" for number in range(1, 5))
DIGEST, SUBJECT = "ab" * 32, "cd" * 32
NOW = 1_800_000_000_000
_count = itertools.count()


def card(member):
    seed = member.encode().ljust(40, b".")
    return {
        "member": member,
        "name": member.title(),
        "sign": b64encode(b"s" + seed),
        "wrap": b64encode(b"w" + seed),
        "witness": b64encode((b"x" + seed[-31:])[:24] + seed[:8]),
        "tls": seed.hex()[:64].ljust(64, "0"),
        "authority": b64encode(b"a" + seed),
    }


def call(kind, author, body, time_ms=NOW):
    return Call(f"{next(_count):064x}", kind, author, time_ms, body)


def founded(count=4, quorum_size=None):
    state = State()
    cards = [card(member) for member in (A, B, C, D, E)[:count]]
    body = {"quorum": quorum_size or quorum_of(count), "members": cards}
    assert state.apply(call("consortium.found", "", body)).refusal is None
    return state


def grant(author=A, reader=B, purpose="treatment", until=NOW + 1000, ids=(CONSENT,)):
    consents = [{"id": one, "subject": SUBJECT} for one in ids]
    body = {"purpose": purpose, "reader": reader, "not_after_ms": until, "consents": consents}
    return call("consent.grant", author, body)


def revoke(author=A, ids=(CONSENT,)):
    return call("consent.revoke", author, {"consents": list(ids)})


def request(author=B, holder=A, purpose="treatment", transfer_id=TRANSFER):
    body = {
        "transfer": transfer_id,
        "holder": holder,
        "purpose": purpose,
        "request_digest": DIGEST,
    }
    return call("transfer.request", author, body)


def offer(author=A, consent_id=CONSENT, time_ms=NOW):
    body = {"transfer": TRANSFER, "consent": consent_id, "digest": DIGEST}
    return call("transfer.offer", author, body, time_ms)


def decline(author=A):
    return call("transfer.refuse", author, {"transfer": TRANSFER, "reason": "no-consent"})


def acknowledge(author=B, digest=DIGEST):
    return call("transfer.acknowledge", author, {"transfer": TRANSFER, "digest": digest})


def open_study(author=A, participants=(A, B, C), minimum=3):
    body = {
        "study": STUDY,
        "task_digest": DIGEST,
        "purpose": "research",
        "participants": list(participants),
        "consent_height": 1,
        "minimum": minimum,
    }
    return call("study.open", author, body)


def close_round(number=1, author=A, participants=(A, B, C), metrics=None):
    body = {
        "study": STUDY,
        "round": number,
        "participants": list(participants),
        "model_digest": DIGEST,
        "metrics": {"auc": 790_000} if metrics is None else metrics,
    }
    return call("round.close", author, body)


def publish(author=A):
    return call(
        "model.publish", author, {"study": STUDY, "model": DIGEST, "metrics": {"auc": None}}
    )


def anchor(size, author=A):
    return call("access.anchor", author, {"root": DIGEST, "size": size})


def admit(author, body_card):
    body = {"member": body_card["member"], "card_digest": card_digest(body_card)}
    return call("member.admit", author, body)


def play(state, *calls):
    """Apply all calls; return the refusal of the last one. The others must be accepted."""
    *before, last = calls
    for one in before:
        outcome = state.apply(one)
        assert outcome.refusal is None, (one.type, outcome.refusal)
    return state.apply(last).refusal


# Each row: what was accepted before, the call, and the code of the rule that refuses it.
REFUSALS = [
    ("transfer.self", [], request(B, holder=B)),
    ("transfer.exists", [request()], request()),
    ("transfer.unknown", [grant()], offer()),
    ("transfer.not-holder", [grant(), request()], offer(author=C)),
    ("transfer.not-holder", [request()], decline(author=B)),
    ("transfer.not-reader", [grant(), request(), offer()], acknowledge(author=A)),
    ("transfer.digest", [grant(), request(), offer()], acknowledge(digest="00" * 32)),
    ("transfer.state", [request()], acknowledge()),
    ("transfer.state", [grant(), request(), offer()], offer()),
    ("transfer.state", [request(), decline()], decline()),
    ("transfer.state", [grant(), request(), decline()], offer()),
    ("transfer.state", [grant(), request(), offer(), acknowledge()], acknowledge()),
    ("consent.unknown", [request()], offer()),
    ("consent.not-active", [grant(), revoke(), request()], offer()),
    ("consent.not-active", [grant(), revoke()], revoke()),
    ("consent.not-holder", [grant(author=C), request()], offer()),
    ("consent.not-holder", [grant()], revoke(author=B)),
    ("consent.unknown", [], revoke()),
    ("consent.reader", [grant(reader=C), request()], offer()),
    ("consent.purpose", [grant(purpose="research"), request()], offer()),
    ("consent.expired", [grant(until=NOW + 1), request()], offer(time_ms=NOW + 2)),
    ("consent.expired", [], grant(until=NOW)),
    ("consent.exists", [grant()], grant(author=B, reader=A)),
    ("consent.exists", [], grant(ids=(CONSENT, CONSENT))),
    ("member.unknown", [], grant(reader="hospital-z")),
    ("member.unknown", [], request(holder="hospital-z")),
    ("member.not-active", [], grant(author="hospital-z")),
    ("study.minimum", [], open_study(participants=(A, B), minimum=2)),
    ("study.minimum", [], open_study(minimum=4)),
    ("member.unknown", [], open_study(participants=(A, B, "hospital-z"))),
    ("study.exists", [open_study()], open_study(author=B)),
    ("study.unknown", [], close_round()),
    ("study.not-author", [open_study()], close_round(author=B)),
    ("study.not-author", [open_study(), close_round()], publish(author=B)),
    ("study.unknown", [], publish()),
    ("study.state", [open_study(), close_round(), publish()], close_round(2)),
    ("study.state", [open_study(), close_round(), publish()], publish()),
    ("round.order", [open_study()], close_round(2)),
    ("round.order", [open_study(), close_round()], close_round(1)),
    ("round.participants", [open_study()], close_round(participants=(A, B))),
    ("round.participants", [open_study()], close_round(participants=(A, B, D))),
    ("model.no-round", [open_study()], publish()),
    ("anchor.size", [anchor(5)], anchor(4)),
    ("member.unknown", [], admit(A, card(E))),
    ("member.exists", [], call("member.apply", A, {"card": card(A)})),
    ("member.not-author", [], call("member.apply", E, {"card": card(D)})),
    ("member.key-taken", [], call("member.apply", E, {"card": card(A) | {"member": E}})),
    (
        "member.key-taken",
        [],
        call("member.apply", E, {"card": card(E) | {"wrap": card(E)["sign"]}}),
    ),
    ("consortium.founded", [], call("consortium.found", A, {"quorum": 1, "members": [card(E)]})),
    ("type.unknown", [], call("consent.forget", A, {})),
]


@pytest.mark.parametrize(("rule", "before", "last"), REFUSALS)
def test_each_rule_refuses_by_its_code(rule, before, last):
    assert play(founded(), *before, last) == rule


def test_a_refused_call_writes_nothing():
    state = founded()
    before = state.pairs("", "\U0010ffff")
    assert state.apply(offer()).writes == {}
    assert state.pairs("", "\U0010ffff") == before


def test_an_entry_counts_once():
    state = founded()
    one = anchor(5)
    assert play(state, one, one) == "entry.duplicate"


def test_a_record_goes_from_request_to_acknowledgement():
    state = founded()
    assert play(state, grant(), request(), offer(), acknowledge()) is None
    found = transfer(state, TRANSFER)
    assert (found["status"], found["digest"]) == ("acknowledged", DIGEST)
    assert found["consent"] == CONSENT


def test_revoking_stops_offers_but_leaves_what_was_offered_before():
    state = founded()
    assert play(state, grant(), request(), offer(), revoke(), acknowledge()) is None
    assert consent(state, CONSENT)["status"] == "revoked"


def test_one_bad_consent_in_a_list_refuses_all_of_them():
    state = founded()
    assert play(state, grant(), revoke(ids=(CONSENT, OTHER))) == "consent.unknown"
    assert consent(state, CONSENT)["status"] == "active"


def test_an_applicant_becomes_a_member_with_the_vote_that_makes_the_quorum():
    state, new = founded(4), card(E)
    assert play(state, call("member.apply", E, {"card": new}), admit(A, new), admit(B, new)) is None
    assert E not in _names(state)
    assert play(state, admit(B, new)) == "member.voted"
    assert play(state, admit(C, new)) is None
    assert E in _names(state)
    assert quorum(state) == quorum_of(5)
    assert play(state, admit(D, new)) == "member.exists"
    assert play(state, request(author=E)) is None


def test_an_applicant_cannot_vote_and_another_application_cannot_displace_it():
    state, new, rival = founded(4), card(E), card(E) | {"name": "Another"}
    assert play(state, call("member.apply", E, {"card": new}), admit(E, new)) == "member.not-active"
    rival |= {"sign": b64encode(b"rival".ljust(40))}
    assert play(state, call("member.apply", E, {"card": rival}), admit(A, new)) is None
    assert play(state, admit(B, rival)) is None
    assert play(state, admit(C, new)) is None
    assert E not in _names(state)


def test_a_lower_quorum_set_at_the_founding_stays_as_members_come():
    state, new = founded(4, quorum_size=2), card(E)
    play(state, call("member.apply", E, {"card": new}), admit(A, new), admit(B, new))
    assert E in _names(state)
    assert quorum(state) == 2


def test_founders_that_share_a_key_or_an_id_are_refused():
    for cards in ([card(A), card(A)], [card(A), card(B) | {"tls": card(A)["tls"]}]):
        outcome = State().apply(call("consortium.found", "", {"quorum": 1, "members": cards}))
        assert outcome.refusal == "consortium.malformed"


def test_a_study_keeps_its_rounds_and_its_model():
    state = founded()
    assert play(state, open_study(), close_round(1), close_round(2), publish()) is None
    assert study(state, STUDY)["rounds"] == 2
    assert study(state, STUDY)["status"] == "published"
    assert model(state, DIGEST)["metrics"] == {"auc": None}
    assert model(state, DIGEST)["rounds"] == 2


def test_the_quorum_is_the_smallest_that_any_two_share_an_honest_member_in():
    assert [quorum_of(count) for count in range(1, 8)] == [1, 2, 3, 3, 4, 4, 5]
    for count in range(2, 60):
        faulty, size = max(1, (count - 1) // 3), quorum_of(count)
        assert 2 * size > count + faulty >= 2 * (size - 1)


@pytest.mark.parametrize("kind", sorted(BODIES))
def test_a_body_with_a_member_too_many_or_too_few_is_malformed(kind):
    good = {
        "consortium.found": {"quorum": 1, "members": [card(E)]},
        "member.apply": {"card": card(E)},
        "member.admit": admit(A, card(E)).body,
        "consent.grant": grant().body,
        "consent.revoke": revoke().body,
        "transfer.request": request().body,
        "transfer.offer": offer().body,
        "transfer.refuse": decline().body,
        "transfer.acknowledge": acknowledge().body,
        "study.open": open_study().body,
        "round.close": close_round().body,
        "model.publish": publish().body,
        "access.anchor": anchor(1).body,
    }[kind]
    author = E if kind == "member.apply" else A
    assert founded().apply(call(kind, author, good)).refusal != "body.malformed"
    bad = [good | {"note": "Alice"}]
    bad += [{name: good[name] for name in good if name != gone} for gone in good]
    bad += [good | {name: wrong} for name in good for wrong in (None, True, -1, 1.5, "Ä", [], [[]])]
    for body in bad:
        assert founded().apply(call(kind, author, body)).refusal == "body.malformed", body


def test_lists_that_mean_a_set_have_one_order():
    assert play(founded(), open_study(participants=(B, A, C))) == "body.malformed"
    assert play(founded(), open_study(participants=(A, A, B))) == "body.malformed"


def test_every_type_has_a_rule_and_a_shape_and_every_step_of_a_table_a_rule():
    assert RULES.keys() == BODIES.keys()
    steps = {kind for table in TABLES.values() for _, kind in table}
    assert steps <= RULES.keys()


def test_a_rule_never_changes_the_values_it_is_given():
    state = founded()
    calls = [grant(), request(), offer(), open_study(), close_round(), publish(), anchor(1)]
    for one in calls:
        before = copy.deepcopy((one, state.pairs("", "\U0010ffff")))
        state.dry_run(one)
        assert (one, state.pairs("", "\U0010ffff")) == before
        state.apply(one)


def test_a_state_over_another_hides_and_settles():
    base = founded()
    upper = base.overlay()
    upper.apply(grant())
    assert consent(base, CONSENT) is None
    assert consent(upper, CONSENT)["status"] == "active"
    assert list(members(upper)) == [A, B, C, D]
    twin = upper.copy()
    upper.settle()
    assert consent(base, CONSENT) == consent(twin, CONSENT)


def _names(state):
    return [value["card"]["member"] for _, value in state.range("member/", "member0")]
