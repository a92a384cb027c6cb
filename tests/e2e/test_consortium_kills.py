"""Killed at any moment and started again, a consortium loses nothing that it acknowledged.

Three hospitals with the shipped patients, played in this order: collect, consents, transfer, study.
Each part is interrupted by SIGKILL at drawn moments and goes on after `concura up`.
"""

import os
import random
import signal
import threading
import time
from contextlib import contextmanager

import apsw
import pytest

from concura.adapters.locks import is_alive
from concura.adapters.processes import start, stop
from concura.adapters.running import read_run
from concura.adapters.table_files import shipped_folder
from concura.canonical import b64decode
from concura.cli import main
from concura.cli.node import ask
from concura.cli.story.check import cohorts_of
from concura.errors import ConcuraError
from concura.hospital import read_invitation
from concura.learning import Cohort, Model, compare, make_study
from concura.learning.engine import run as run_in_process
from concura.ledger import Chain, decode_block, decode_entry

pytestmark = pytest.mark.slow

PAUSE = threading.Event()  # never set: what is waited for happens in other processes

MEMBERS = ("hospital-a", "hospital-b", "hospital-c")
PATIENTS = {"hospital-a": 180, "hospital-b": 140, "hospital-c": 110}
DRAW = random.Random(20)
WAIT_S = 30.0


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kills") / "consortium"
    folder.mkdir(mode=0o700)
    words = ["--hospitals", "3", "--difficulty", "4"]
    (folder / "concura.toml").write_text("block_interval_ms = 100\n")
    (folder / "format.json").write_text('{"concura": "consortium", "format": 1}\n')
    assert main(["up", str(folder), *words]) == 0
    yield folder
    assert main(["down", str(folder)]) == 0


def kill(place, member):
    """Kill a process as the machine's power would, and take away what is left of it."""
    found = read_run(place / member)
    os.kill(found.pid, signal.SIGKILL)
    os.waitid(os.P_PID, found.pid, os.WEXITED)
    assert not is_alive(found.pid, found.started)


def up(place):
    assert main(["up", str(place)]) == 0


def until(is_so):
    end = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < end
        PAUSE.wait(0.05)  # what is waited for happens in other processes


@contextmanager
def killed(place, *members, after_s):
    """Kill members while the block runs, `after_s` seconds after its beginning."""
    timer = threading.Timer(after_s, lambda: [kill(place, member) for member in members])
    timer.start()
    try:
        yield
    finally:
        timer.join()


def tried(place, member, *words):
    """Ask a node; return its answer, or None if it was not acknowledged."""
    try:
        return ask(place / member, *words)
    except ConcuraError:
        return None


def chain_of(place):
    """Verify the hub's whole store here, from its first byte on, and return it with its entries."""
    genesis = read_invitation((place / "hub" / "invitation.json").read_bytes()).genesis
    chain, entries = Chain(genesis), []
    db = apsw.Connection(str(place / "hub" / "data" / "hub.db"), flags=apsw.SQLITE_OPEN_READONLY)
    db.set_busy_timeout(5_000)
    rows = [bytes(row[0]) for row in db.execute("SELECT data FROM blocks ORDER BY height")]
    db.close()
    for data in rows:
        block = decode_block(data)
        chain.append(block, now_ms=None)
        if block.header.height:
            entries += [decode_entry(entry).entry for entry in block.entries]
    return chain, entries


def status(place, member):
    return ask(place / member, "GET", "/status")


@pytest.mark.parametrize("after_s", [round(DRAW.uniform(0.05, 0.6), 2) for _ in range(3)])
def test_a_node_killed_while_it_collects_takes_all_in_the_next_time(place, after_s):
    with killed(place, "hospital-a", after_s=after_s):
        answer = tried(place, "hospital-a", "POST", "/collect", {"hospital": "hospital-a"})
    up(place)
    found = status(place, "hospital-a")
    if answer is not None:
        assert found["patients"] == answer["patients"] == PATIENTS["hospital-a"]
    again = ask(place / "hospital-a", "POST", "/collect", {"hospital": "hospital-a"})
    found = status(place, "hospital-a")
    assert found["patients"] == again["patients"] == PATIENTS["hospital-a"]
    assert sum(found["resources"].values()) == again["resources"]


def test_a_node_and_the_hub_killed_while_consents_are_entered_enter_each_once(place):
    for member in MEMBERS[1:]:
        ask(place / member, "POST", "/collect", {"hospital": member})
    for member in MEMBERS:
        victim = DRAW.choice([member, "hub"])
        with killed(place, victim, after_s=DRAW.uniform(0.0, 0.15)):
            tried(place, member, "POST", "/consents/research")
        up(place)
        until(lambda member=member: status(place, member)["outbox"] == 0)
        tried(place, member, "POST", "/consents/research")
    until(lambda: consents_on_ledger(place) == sum(PATIENTS.values()))
    _, entries = chain_of(place)
    ids = [c["id"] for e in entries if e.type == "consent.grant" for c in e.body["consents"]]
    subjects = [
        c["subject"] for e in entries if e.type == "consent.grant" for c in e.body["consents"]
    ]
    assert len(set(ids)) == len(ids) == len(set(subjects)) == sum(PATIENTS.values())


def consents_on_ledger(place):
    _, entries = chain_of(place)
    return sum(len(e.body["consents"]) for e in entries if e.type == "consent.grant")


@pytest.mark.parametrize("victim", ["hub", "hospital-a", "hospital-b", "all"])
def test_a_transfer_that_was_asked_for_arrives_whoever_is_killed(place, victim):
    holder, reader = "hospital-a", "hospital-b"
    resources = next(shipped_folder().resources(holder))
    identifier = resources[0]["identifier"][0]
    body = {"number": identifier["value"], "reader": reader, "purpose": "treatment"}
    ask(place / holder, "POST", "/consents", body)
    wish = {"holder": holder, "system": identifier["system"], "value": identifier["value"]}
    victims = ["hub", *MEMBERS] if victim == "all" else [victim]
    transfer = ask(place / reader, "POST", "/transfers", {**wish, "purpose": "treatment"})[
        "transfer"
    ]
    with killed(place, *victims, after_s=DRAW.uniform(0.0, 0.2)):
        pass
    up(place)
    found = ask(place / reader, "GET", f"/transfers/{transfer}?wait=30")
    assert found["status"] == "acknowledged"
    assert found["arrived"]["resources"] == len(resources)
    until(lambda: settled(place, transfer))


def settled(place, transfer):
    """Each step stands on the ledger once, however often it was tried."""
    steps = [entry.type for entry in chain_of(place)[1] if entry.body.get("transfer") == transfer]
    assert len(set(steps)) == len(steps)
    return steps == ["transfer.request", "transfer.offer", "transfer.acknowledge"]


def open_study(place, **changes):
    folder = shipped_folder()
    outcome = folder.features.outcome
    study = make_study(
        "default",
        study_id="00" * 16,
        seed=11,
        features=folder.features.names,
        features_digest=folder.features.digest,
        outcome=outcome.horizon,
        horizon_days=outcome.within_days,
        **changes,
    )
    body = {
        "settings": study.to_json(),
        "features": folder.features.raw,
        "participants": list(MEMBERS),
    }
    return study, ask(place / MEMBERS[0], "POST", "/studies", body)["study"]


def cohorts_by_id(folder):
    """What the nodes train on: their patients in the order of their ids, which sums depend on."""
    found = {}
    for hospital, cohort in cohorts_of(folder).items():
        ids = [resources[0]["id"] for resources in folder.resources(hospital)]
        order = sorted(range(len(ids)), key=ids.__getitem__)
        records = tuple(cohort.records[i] for i in order)
        found[hospital] = Cohort(cohort.x[order], cohort.y[order], records)
    return found


def follow(place, study):
    """Return the rounds that the first hospital saw, and the last event."""
    seen, rounds = 0, []
    end = time.monotonic() + 2 * WAIT_S
    while time.monotonic() < end:
        events = ask(place / MEMBERS[0], "GET", f"/studies/{study}/events?after={seen}&wait=5")
        for event in events["events"]:
            seen += 1
            if event["kind"] == "round":
                rounds.append(event["round"])
            elif event["kind"] in {"published", "ended"}:
                return rounds, event
    raise AssertionError(f"the study does not end: {rounds}")


def test_a_study_goes_on_when_the_hub_is_killed_and_gives_the_very_same_model(place):
    study, study_id = open_study(place, rounds=60)
    with killed(place, "hub", after_s=0.8):
        pass
    up(place)
    rounds, event = follow(place, study_id)
    assert event["kind"] == "published", event
    answer = ask(place / MEMBERS[0], "GET", f"/models/{event['model']}")
    model = Model.decode(b64decode(answer["model"]))
    cohorts = {m: c for m, c in cohorts_by_id(shipped_folder()).items() if m in MEMBERS}
    expected = run_in_process(study, cohorts)
    assert rounds == list(range(1, 61))
    assert model.rounds_digest == expected.rounds_digest
    assert (
        compare(study, cohorts, model).federated.auc
        == compare(study, cohorts, expected).federated.auc
    )
    closed = [e.body["round"] for e in chain_of(place)[1] if e.type == "round.close"]
    assert closed == list(range(1, 61))


def test_after_all_this_the_ledger_verifies_and_every_hospital_has_the_same(place):
    until(lambda: len({status(place, m)["height"] for m in MEMBERS}) == 1)
    chain, entries = chain_of(place)
    assert all(status(place, m)["distrust"] is None for m in MEMBERS)
    assert all(status(place, m)["outbox"] == 0 for m in MEMBERS)
    assert len({e.id for e in entries}) == len(entries)
    assert chain.height >= max(status(place, m)["final"] for m in MEMBERS)


def test_up_itself_may_be_killed_at_any_moment(tmp_path):
    place = tmp_path / "consortium"
    for after_s in (1.2,):
        words = ["up", str(place), "--hospitals", "1", "--difficulty", "4"]
        child = start(words, name="up", log=tmp_path / "up.out", lifeline=False)
        threading.Event().wait(after_s)
        os.kill(child.pid, signal.SIGKILL)
        child.process.wait()
        stop([child])
    try:
        until(lambda: main(["up", str(place)]) == 0)
        assert main(["status", str(place)]) == 0
    finally:
        assert main(["down", str(place)]) == 0
