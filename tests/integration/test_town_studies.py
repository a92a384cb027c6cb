"""A study in the in-memory town: real rounds, masks and ledger; then with a hub that cheats."""

import asyncio
import hashlib
from functools import lru_cache

import numpy as np
import pytest

from concura.adapters.table_files import shipped_folder
from concura.canonical import b64encode, decode, encode
from concura.errors import (
    EntryRefused,
    ModelUnusable,
    NotFound,
    NotMember,
    StoreFull,
    StudyAborted,
    StudyRefused,
)
from concura.learning import PRESETS, public_of
from concura.ledger import study as study_on_ledger
from concura.testing.clock import run_simulated, simulated
from concura.testing.records import MemoryAccessLog
from concura.testing.town import Town, patients_of

A, B, C, D = "hospital-a", "hospital-b", "hospital-c", "hospital-d"
ALL = (A, B, C, D)
FEATURES = shipped_folder().features
SETTINGS = {
    **{k: list(v) if isinstance(v, tuple) else v for k, v in PRESETS["default"].items()},
    "preset": "default",
    "seed": 7,
    "rounds": 3,
    "client_rates": [0.1],
    "server_rates": [0.3],
    "outcome": FEATURES.outcome.kind,
    "horizon_days": FEATURES.outcome.within_days or None,
    "folds": 2,
    "minimum_hospitals": 3,
    "sensitivity": 0.9,
}


@lru_cache(maxsize=1)
def prepared():
    """A town whose patients are collected and have consented; copied by every test."""

    async def scene():
        async with Town.found() as town:
            for member in ALL:
                await town.collect(member)
                node = town.node(member)
                late = town.clock.now_ms() + 10**10
                count = await node.cohorts.grant(node.own_patients(), not_after_ms=late)
                assert count == len(patients_of(member))
            await town.agree()
            return town.copy()

    return run_simulated(scene())


@pytest.fixture(scope="module", autouse=True)
def _prepared():
    prepared()


def ready():
    return prepared().copy()


async def open_study(town, author=A, participants=ALL, **changes):
    node = town.node(author)
    return await node.train.open({**SETTINGS, **changes}, FEATURES.raw, list(participants))


async def ends(town, study, members=ALL, seconds=600.0):
    """How the study ended at each hospital: its last event."""
    for member in members:
        node = town.node(member)
        await town.until(
            lambda node=node: (
                bool(node.train._events.get(study))
                and node.train._events[study][-1]["kind"] in {"published", "ended"}
            ),
            seconds,
        )
    return {m: town.node(m).train._events[study][-1] for m in members}


def on_step(name, change):
    """Change the answer to one step of a study."""

    async def tamper(real, study, step, **more):
        answer = await real(study, step, **more)
        return change(answer) if step == name and answer else answer

    return tamper


def hold(town, member, name, step):
    """Keep one call of a node from ever being answered."""

    async def forever(real, study, which, *args, **more):
        if which == step:
            await town.clock.sleep(1e9)
        return await real(study, which, *args, **more)

    town.wire(member).tampers[name] = forever


def messages(found):
    return {member: event.get("message", "") for member, event in found.items()}


@simulated
async def test_all_hospitals_end_with_one_model_that_the_ledger_names():
    async with ready() as town:
        study = await open_study(town)
        found = await ends(town, study)
        await town.agree()
        models = {event.get("model") for event in found.values()}
        assert len(models) == 1
        (model,) = models
        entry = study_on_ledger(town.platform.ordering.state, study)
        assert (entry["model"], entry["rounds"], entry["status"]) == (model, 3, "published")
        for member in ALL:
            node = town.node(member)
            held, _ = node.decide.load(model)
            assert (held.id, held.study.consent_height) == (model, entry["consent_height"])
            assert node.decide.models() == [model]
            origin = node.decide.origin(model)
            assert (origin["final"], origin["participants"]) == (True, list(ALL))
            proof = node.decide.proof(origin["entry"])
            assert len(proof) <= 10_000
        with pytest.raises(ModelUnusable):
            town.node(A).decide.origin("0" * 64)
        with pytest.raises(ModelUnusable):
            town.node(A).decide.load("0" * 64)
        with pytest.raises(NotFound):
            town.node(A).decide.proof("0" * 64)


@simulated
async def test_a_decision_is_logged_before_it_is_shown_and_the_highest_risk_is_held_out():
    async with ready() as town:
        study = await open_study(town)
        model = (await ends(town, study))[A]["model"]
        node, log = town.node(A), town.hospitals[A].access
        number, risk = await node.decide.highest(model)
        before = log.size()
        decided = await node.decide.decide(model, number, who="dr-house")
        assert decided.decision.probability == pytest.approx(risk, abs=1e-12)
        (record,) = log.records(before, 9)
        assert (record.who, record.action, record.why) == ("dr-house", "decide", "treatment")
        assert number not in record.what
        with pytest.raises(NotFound):
            await node.decide.decide(model, "A-9999", who="dr-house")
        assert log.size() == before + 1


@simulated
async def test_the_log_comes_first_or_there_is_no_data():
    class FullLog(MemoryAccessLog):
        async def append(self, records):
            raise StoreFull(folder="data")

    async with ready() as town:
        model = (await ends(town, await open_study(town)))[A]["model"]
        number, _ = await town.node(A).decide.highest(model)
        node, hospital = town.node(A), town.hospitals[A]
        node.decide._access = node.cohorts._access = node.share._access = FullLog()
        read = []
        hospital.records.of_patient = read.append
        with pytest.raises(StoreFull):
            await node.decide.decide(model, number, who="dr")
        with pytest.raises(StoreFull):
            await node.decide.highest(model)
        study = await open_study(town, B)
        assert (await ends(town, study, [A]))[A]["slug"] == "full"
        patient = patients_of(A, 1)[0]
        await town.consent(A, B, patient)
        asked = asyncio.ensure_future(town.ask(B, A, patient))
        await town.clock.sleep(30.0)
        asked.cancel()
        assert read == []
        assert not town.hub_store.mail(B, 0)


@simulated
async def test_revoked_patients_are_not_read_for_a_study():
    async with ready() as town:
        node = town.node(A)
        consents = sorted(node.cohorts._consents())
        await node.consents.revoke(consents[:100])
        await town.agree()
        read = []
        records = town.hospitals[A].records
        of_patient = records.of_patient
        records.of_patient = lambda patient: read.append(patient) or of_patient(patient)
        await node.cohorts.build("study", FEATURES.raw)
        gone = {node.cohorts._consents()[one] for one in consents[:100]}
        assert set(read).isdisjoint(gone)
        assert len(read) == len(patients_of(A)) - 100
        town.clock.skew_ms += 10**11
        assert node.cohorts.consenting() == []


@simulated
async def test_consents_for_research_are_entered_once():
    async with ready() as town:
        node = town.node(A)
        assert await node.cohorts.grant(node.own_patients(), not_after_ms=10**15) == 0


# --- a hub that cheats ----------------------------------------------------------------------------


@simulated
async def test_a_wrong_total_shown_to_one_hospital_leaves_it_without_a_model():
    def more(total):
        words = np.frombuffer(total, "<u8").copy()
        words[:] += np.uint64(1 << 31)
        return words.tobytes()

    async with ready() as town:
        town.wire(C).tampers["total"] = on_step("round-2", more)
        study = await open_study(town)
        found = await ends(town, study)
        assert {m: e["kind"] for m, e in found.items()} == {
            A: "published",
            B: "published",
            C: "ended",
            D: "published",
        }
        assert "not the one that this node computed" in found[C]["message"]
        assert town.node(C).decide.models() == []


@simulated
async def test_wrong_totals_shown_to_the_author_leave_the_others_without_its_model():
    def other(total):
        words = np.frombuffer(total, "<u8").copy()
        words[:] += np.uint64(1 << 31)
        return words.tobytes()

    async with ready() as town:
        town.wire(A).tampers["total"] = on_step("round-1", other)
        found = await ends(town, await open_study(town))
        assert {m for m, e in found.items() if e["kind"] == "published"} == {A}
        for member in (B, C, D):
            assert town.node(member).decide.models() == []


@pytest.mark.parametrize("change", [lambda _: b"short", lambda t: t[:-8], lambda t: t + bytes(8)])
def test_a_total_of_another_size_ends_the_study(change):
    @simulated
    async def scene():
        async with ready() as town:
            for member in ALL:
                town.wire(member).tampers["total"] = on_step("means", change)
            found = await ends(town, await open_study(town))
            assert {e["slug"] for e in found.values()} == {"reply"}

    scene()


def swapped(keys):
    """The hub puts a key of its own in place of B's, to read what is masked against it."""
    own = public_of(bytes(range(32)))
    return {**keys, B: encode({**decode(keys[B]), "public": b64encode(own)})}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (swapped, "not signed by it"),
        (lambda keys: {**keys, B: keys[C]}, "not signed by it"),
        (lambda keys: {m: k for m, k in keys.items() if m != B}, "other participants"),
        (lambda keys: {**keys, "hospital-z": keys[B]}, "other participants"),
        (lambda keys: {**keys, B: b"{}"}, "unknown shape"),
    ],
    ids=["own key", "another's", "one less", "one more", "no key"],
)
def test_mask_keys_that_the_hub_changed_are_refused_before_anything_is_contributed(change, said):
    @simulated
    async def scene():
        async with ready() as town:

            async def tamper(real, study, **more):
                found = await real(study, **more)
                return change(found) if found else found

            town.wire(A).tampers["mask_keys"] = tamper
            study = await open_study(town)
            found = await ends(town, study, [A])
            assert said in found[A]["message"]
            steps = {args[1] for name, args in town.wire(A).heard if name == "contribute"}
            assert steps == {"keys"}

    scene()


@simulated
async def test_a_task_other_than_its_digest_is_refused():
    async with ready() as town:

        async def other(real, study, **more):
            return (await real(study, **more)).replace(b'"rounds":3', b'"rounds":4')

        town.wire(B).tampers["task"] = other
        found = await ends(town, await open_study(town), [B])
        assert (found[B]["slug"], "digest" in found[B]["message"]) == ("study", True)


@simulated
async def test_a_node_takes_part_in_no_task_whose_parts_do_not_belong_together():
    async with ready() as town:
        node = town.node(B)

        def accept(document, *, purpose="research", participants=ALL, study_id="0" * 32):
            text = document if isinstance(document, bytes) else encode(document, floats=True)
            entry = {
                "task_digest": hashlib.sha256(text).hexdigest(),
                "purpose": purpose,
                "participants": list(participants),
            }
            return node.train._accept(study_id, entry, text)

        names, digest = list(FEATURES.names), FEATURES.digest
        plan = {
            **SETTINGS,
            "study_id": "0" * 32,
            "features": names,
            "features_digest": digest,
            "consent_height": 0,
        }
        good = {"study": plan, "features": FEATURES.raw}
        assert accept(good)[0].study.rounds == 3
        for document, more in [
            (b"no task", {}),
            ({}, {}),
            ({"study": {}, "features": FEATURES.raw}, {}),
            ({"study": plan, "features": {}}, {}),
            ({"study": {**plan, "features_digest": "0" * 64}, "features": FEATURES.raw}, {}),
            ({"study": {**plan, "features": names[1:]}, "features": FEATURES.raw}, {}),
            (good, {"study_id": "1" * 32}),
            (good, {"purpose": "public-health"}),
            (good, {"participants": (A, B)}),
        ]:
            with pytest.raises((StudyRefused, Exception)) as caught:
                accept(document, **more)
            assert caught.value.slug in {"study", "mapping"}


# --- silence and restarts -------------------------------------------------------------------------


@simulated
async def test_a_silent_participant_ends_the_study_after_the_patience():
    async with ready() as town:
        town.wire(D).is_cut = True
        town.wire(D).drop()
        study = await open_study(town)
        found = await ends(town, study, (A, B, C))
        assert all("silent for 120 seconds" in text for text in messages(found).values())
        assert town.clock.monotonic_s() < 200


@simulated
async def test_a_participant_killed_in_a_study_says_so_and_the_others_end_it():
    async with ready() as town:
        hold(town, D, "contribute", "round-1")
        study = await open_study(town)
        await town.until(lambda: town.hub_store.count_contributions(study, "round-1") == 3)
        await town.kill(D)
        town.wire(D).tampers.clear()
        town.start(D)
        found = await ends(town, study)
        assert "restarted" in found[D]["message"]
        assert town.hospitals[D].store.fact(f"study/{study}") == b"ended"
        for member in (A, B, C):
            assert "silent" in found[member]["message"]
        # A second life never contributes to it again: two vectors under one mask would tell.
        await town.kill(D)
        town.wire(D).heard.clear()
        town.start(D)
        await town.clock.sleep(60.0)
        assert "contribute" not in {name for name, _ in town.wire(D).heard}


@simulated
async def test_an_author_killed_before_it_publishes_leaves_the_others_with_a_clear_end():
    async with ready() as town:
        hold(town, A, "total", "evaluation")
        study = await open_study(town)
        await town.until(lambda: town.hub_store.count_contributions(study, "evaluation") == 4)
        await town.kill(A)
        found = await ends(town, study, (B, C, D))
        assert all("no model was published" in text for text in messages(found).values())


@simulated
async def test_a_hub_that_is_restarted_does_not_end_a_study():
    async with ready() as town:
        waiting = ["keys", "means", "round-2", "evaluation"]

        async def restart(real, study, step, data):
            if step in waiting:
                waiting.remove(step)
                await town.kill_hub()
                await town.clock.sleep(3.0)
                town.start_hub()
            return await real(study, step, data)

        town.wire(B).tampers["contribute"] = restart
        study = await open_study(town)
        found = await ends(town, study)
        assert {e["kind"] for e in found.values()} == {"published"}


@simulated
async def test_a_study_needs_three_participants_and_known_ones():
    async with ready() as town:
        with pytest.raises(EntryRefused) as caught:
            await open_study(town, participants=(A, B))
        assert caught.value.why == "study.minimum"
        with pytest.raises(EntryRefused):
            await open_study(town, participants=(A, B, "hospital-z"))
        with pytest.raises(StudyRefused):
            await open_study(town, rounds=0)


# --- the hub's side -------------------------------------------------------------------------------


@simulated
async def test_the_hub_takes_one_contribution_of_one_shape_from_each_participant():
    async with ready() as town:
        for member in (B, C, D):
            await town.kill(member)
        study = await open_study(town, participants=(B, C, D))
        hub = {m: town.platform.session(town.hospitals[m].card.tls) for m in ALL}
        await hub[B].contribute(study, "means", bytes(16))
        await hub[B].contribute(study, "means", bytes(16))
        refused = [
            (B, study, "means", bytes(8) + b"\1" * 8, StudyAborted),
            (C, study, "means", bytes(24), StudyRefused),
            (C, study, "means", bytes(15), StudyRefused),
            (C, study, "means", b"", StudyRefused),
            (C, study, "means" * 20, bytes(16), StudyRefused),
            (C, study, "mittelwerte-ä", bytes(16), StudyRefused),
            (C, study, "keys", bytes(5_000), StudyRefused),
            (C, "0" * 32, "means", bytes(16), StudyRefused),
            (A, study, "means", bytes(16), NotMember),
        ]
        for member, which, step, data, error in refused:
            with pytest.raises(error):
                await hub[member].contribute(which, step, data)
        assert await hub[B].total(study, "means", wait_s=1.0) == b""
        assert await hub[B].mask_keys(study, wait_s=1.0) == {}
        await hub[C].contribute(study, "means", b"\xff" * 16)
        await hub[D].contribute(study, "means", (2).to_bytes(8, "little") * 2)
        assert await hub[D].total(study, "means", wait_s=0.0) == (1).to_bytes(8, "little") * 2
        with pytest.raises(StudyRefused):
            await hub[B].total(study, "keys", wait_s=0.0)
        for call in (
            lambda: hub[A].total(study, "means", wait_s=0.0),
            lambda: hub[A].mask_keys(study, wait_s=0.0),
            lambda: hub[A].task(study, wait_s=0.0),
            lambda: hub[B].put_task(study, b"x"),
        ):
            with pytest.raises(NotMember):
                await call()
        with pytest.raises(StudyRefused):
            await hub[A].put_task(study, b"another task")
