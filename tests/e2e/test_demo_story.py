"""`concura demo` as a newcomer meets it: real processes, read line by line, and checked from outside.

Each run costs some ten seconds, so that the runs are few and shared: told in English and kept; as
JSON with the same seed; in Chinese with the article's settings; on the heart-disease files.
"""

import base64
import functools
import hashlib
import json
import os
import re
import shutil
import sqlite3
import struct
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from concura.adapters.table_files import shipped_folder
from concura.cli import main
from concura.cli.story.check import cohorts_of
from concura.learning import Cohort, compare, make_study
from concura.learning.engine import run as run_in_process

pytestmark = pytest.mark.slow

SOURCES = Path(__file__).resolve().parents[2] / "src"
SEED = 7
HEADINGS = ("Found", "Collect", "Seal", "Learn", "Decide", "Check")
MEMBERS = {
    "decision", "risk", "threshold", "horizon", "reasons", "auc", "brier", "calibration", "rounds",
    "model", "patients", "imputed", "ledger", "tamper", "refused", "hub_could_open", "seconds",
    "report",
}  # fmt: skip


class Run:
    """One finished `concura demo`, and what it left."""

    def __init__(self, scratch, *words):
        scratch.mkdir()
        mark = f"CONCURA_TEST_DEMO={scratch.name}{os.getpid()}"
        name, _, value = mark.partition("=")
        environment = {**os.environ, "TMPDIR": str(scratch), "LANG": "C.UTF-8", name: value}
        environment["PYTHONPATH"] = str(SOURCES)
        began = time.monotonic()
        with subprocess.Popen(
            [sys.executable, "-P", "-m", "concura", "demo", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,  # or readline would take more than a line away from communicate
            env=environment,
        ) as process:
            first = process.stdout.readline()
            self.first_s = time.monotonic() - began
            out, err = process.communicate(timeout=120)
        self.all_s = time.monotonic() - began
        self.code = process.returncode
        self.out = (first + out).decode()
        self.err = err.decode()
        self.lines = self.out.splitlines()
        self.left = left_running(mark.encode())
        self.scratch = scratch

    @property
    def report(self):
        return Path(re.search(r"^(?:Report: |报告：)(.+)$", self.lines[-1])[1])


def left_running(mark):
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (folder / "environ").read_bytes().split(b"\0"):
                found.append((folder / "cmdline").read_bytes())
        except OSError:
            continue
    return found


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """The default run, told in English, and its folder kept."""
    base = tmp_path_factory.mktemp("told")
    run = Run(base / "scratch", "--keep", str(base / "kept"), "--seed", str(SEED))
    run.kept = base / "kept"
    return run


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """The same seed as JSON; and, told in Chinese, the article's settings for a chosen patient."""
    base = tmp_path_factory.mktemp("others")
    number = f"C-{shipped_folder().rows['hospital-c'][0].number:04d}"
    mission = ["--lang", "zh", "--preset", "mission", "--patient", number, "--difficulty", "8"]
    with ThreadPoolExecutor(2) as pool:
        flat = pool.submit(Run, base / "flat", "--json", "--seed", str(SEED))
        chinese = pool.submit(Run, base / "chinese", *mission)
    flat.result().object = json.loads(flat.result().out)
    chinese.result().number = number
    return flat.result(), chinese.result()


@pytest.fixture(scope="module")
def flat(others):
    return others[0]


@pytest.fixture(scope="module")
def chinese(others):
    return others[1]


# --- the story as it is told -----------------------------------------------------------------------


def test_the_story_ends_with_the_decision_and_the_report(told):
    assert (told.code, told.left) == (0, [])
    assert 0 < told.first_s < told.all_s  # how fast: benchmarks/story.py
    assert re.fullmatch(
        r"Decision: (High-risk patient|Low-risk patient|Cannot say)", told.lines[-2]
    )
    assert told.lines[-1].startswith("Report: ")
    assert told.report.is_file()


def test_each_stage_has_its_heading_in_order(told):
    headings = [line for line in told.lines if re.match(r"\d  ", line)]
    assert [re.match(r"\d  (\w+)", line)[1] for line in headings] == list(HEADINGS)


def test_the_story_says_what_is_real_and_what_it_is_not_for(told):
    assert "measurements are real; names, dates and hospitals are invented" in told.out
    assert "A demonstration, not for care." in told.out


def test_every_refusal_is_told(told):
    for words in (
        "without a consent: refused",
        "The hub shows its own key",
        "it cannot be opened",
        "the next request of Birchwood General is refused",
    ):
        assert words in told.out


def test_the_threshold_is_told_with_its_intervals(told):
    for name in ("Sensitivity", "Specificity", "Positive predictive value"):
        assert re.search(
            rf"{name} on held-out patients: \d+ % \(95 % interval \d+ to \d+ %\)", told.out
        )


def test_no_warning_and_no_traceback_reach_the_reader(told, flat, chinese):
    for run in (told, flat, chinese):
        assert "Traceback" not in run.out + run.err
        assert "Warning" not in run.err


def test_a_finished_demo_leaves_only_its_report(flat, chinese):
    for run in (flat, chinese):
        assert (run.code, run.left) == (0, [])
        assert [path.suffix for path in run.scratch.iterdir()] == [".html"]


# --- the object ------------------------------------------------------------------------------------


def test_json_is_one_object_with_the_documented_members_and_nothing_else_is_printed(flat):
    found = flat.object
    assert set(found) == MEMBERS
    assert flat.err == ""
    assert set(found["auc"]) == {"federated", "pooled", "local", "within"}
    assert set(found["auc"]["within"]) == {"federated", "pooled"}
    assert set(found["brier"]) == set(found["calibration"]) == {"federated", "pooled", "local"}
    assert set(found["ledger"]) == {"height", "entries", "verified", "final"}
    assert set(found["tamper"]) == {"detected", "where"}
    assert found["seconds"]["total"] > 0
    assert Path(found["report"]).is_file()


def test_json_says_that_nothing_went_wrong(flat):
    found = flat.object
    assert found["hub_could_open"] is False
    assert found["refused"] == {"no_consent": True, "revoked": True, "substituted_key": True}
    assert found["tamper"]["detected"] is True
    assert re.fullmatch(r"block \d+", found["tamper"]["where"])
    assert found["ledger"]["verified"] is True
    assert found["ledger"]["final"] == found["ledger"]["height"]
    assert found["rounds"] >= 10


def test_json_counts_the_patients_and_gives_three_reasons(flat):
    found = flat.object
    assert sum(found["patients"].values()) == 500
    assert len(set(found["patients"].values())) == 4
    assert len(found["reasons"]) == 3
    assert found["horizon"] == "dying within one year of this heart attack"
    strengths = [abs(reason["contribution"]) for reason in found["reasons"]]
    assert strengths == sorted(strengths, reverse=True)
    expected = "High" if found["risk"] >= found["threshold"] else "Low"
    assert found["decision"] == f"Decision: {expected}-risk patient"


def test_the_federated_model_is_near_the_pooled_one_and_above_the_small_hospitals_own(flat):
    auc = flat.object["auc"]
    local = [value for value in auc["local"].values() if value is not None]
    assert auc["pooled"] - auc["federated"] <= 0.05
    assert auc["federated"] > sum(local) / len(local)
    assert auc["local"]["hospital-d"] is None  # too few cases to state a number


# --- one seed, one model ---------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_model_in_two_worlds_of_other_keys(told, flat):
    closed = [body for kind, body in replay(told.kept) if kind == "round.close"]
    assert closed[-1]["model_digest"] == flat.object["model"]["parameters"]
    assert told.lines[-2] == flat.object["decision"]


def cohorts_by_id(folder):
    """What the nodes train on: their patients in the order of their ids, which sums depend on."""
    found = {}
    for hospital, cohort in cohorts_of(folder).items():
        ids = [resources[0]["id"] for resources in folder.resources(hospital)]
        order = sorted(range(len(ids)), key=ids.__getitem__)
        records = tuple(cohort.records[i] for i in order)
        found[hospital] = Cohort(cohort.x[order], cohort.y[order], records)
    return found


def test_the_network_changes_nothing_of_the_model(flat):
    folder = shipped_folder()
    outcome = folder.features.outcome
    study = make_study(
        "default",
        study_id="00" * 16,
        seed=SEED,
        features=folder.features.names,
        features_digest=folder.features.digest,
        outcome=outcome.horizon,
        horizon_days=outcome.within_days,
    )
    cohorts = cohorts_by_id(folder)
    model = run_in_process(study, cohorts)
    judged = compare(study, cohorts, model).federated
    assert model.rounds_digest == flat.object["model"]["parameters"]
    assert model.threshold == flat.object["threshold"]
    assert judged.auc == flat.object["auc"]["federated"]
    # The comparison adds up in the order of the table, and so rounds otherwise.
    assert judged.brier == pytest.approx(flat.object["brier"]["federated"], abs=1e-12)


# --- the article's settings, in Chinese --------------------------------------------------------------


def test_the_mission_preset_tells_its_losses_and_whether_it_converged(chinese):
    found = re.search(r"共 (\d+) 轮；训练损失 (0\.\d{4}) → (0\.\d{4})", chinese.out)
    assert int(found[1]) >= 10
    assert float(found[3]) < float(found[2])
    assert "取简单平均；学习率：医院 0.01，服务器 0.001" in chinese.out
    assert ("尚未收敛" in chinese.out) != ("已收敛" in chinese.out)


def test_a_chosen_patient_is_the_one_decided_for(chinese):
    assert chinese.number in chinese.out
    assert re.fullmatch(r"决策：(高风险患者|低风险患者|无法判断)", chinese.lines[-2])


def test_the_chinese_story_holds_no_english_sentence(chinese):
    for line in chinese.lines[:-1]:
        text = re.sub(r"[「“].*?[」”]|Worcester Heart Attack Study", "", line)
        assert not re.search(r"[A-Za-z]{2,}(?:[ ,;]+[A-Za-z]{2,}){3,}", bare(text)), line
    assert re.search("[\u4e00-\u9fff]", chinese.report.read_text("utf-8"))
    assert '<html lang="zh' in chinese.report.read_text("utf-8")


def bare(line):
    """Leave out what is no sentence: the proquints of the genesis, and a work's own title."""
    line = re.sub(r"\b(?:[a-z]{5} ){7}[a-z]{5}\b", "", line)
    return re.sub(r"[（(][^（()）]*[)）]", "", line)


# --- the report ------------------------------------------------------------------------------------


def test_the_report_needs_nothing_from_outside(told, flat):
    for path in (told.report, Path(flat.object["report"])):
        page = path.read_text("utf-8")
        assert not re.findall(r"""(?:src|href|action|data)\s*=\s*["']?(?:https?:)?//""", page)
        assert not re.findall(r"url\(\s*['\"]?(?:https?:)?//|@import", page)
        assert "<script" not in page
        assert page.count("<svg") >= 6
        assert path.stat().st_mode & 0o077 == 0


# --- the ledger in the kept folder, verified from docs/spec/ledger.md alone -------------------------


def b64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def jcs(value):  # no fractions and only ASCII member names stand on the ledger
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def tree(leaves):
    if len(leaves) == 1:
        return hashlib.sha256(b"\0" + leaves[0]).digest()
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + tree(leaves[:split]) + tree(leaves[split:])).digest()


def parts_of(block):
    place, parts = 164 + 64, []
    while place < len(block):
        (size,) = struct.unpack_from(">I", block, place)
        parts.append(block[place + 4 : place + 4 + size])
        place += 4 + size
    return block[:164], block[164:228], parts


def pss(der, signature, message):
    key = load_der_public_key(der)
    key.verify(signature, message, padding.PSS(padding.MGF1(SHA256()), 32), SHA256())


def stored_blocks(place):
    with sqlite3.connect(f"file:{place}/hub/data/hub.db?mode=ro", uri=True) as db:
        rows = [bytes(row[0]) for row in db.execute("SELECT data FROM blocks ORDER BY height")]
    db.close()
    return rows


@functools.cache
def replay(place):
    """Verify every block, every signature and every link; return (type, body) of all entries."""
    invitation = json.loads((place / "hub" / "invitation.json").read_bytes())
    founding = b64(invitation["genesis"])
    genesis, chain = json.loads(founding), hashlib.sha256(founding).digest()
    cards = {card["member"]: card for card in genesis["founders"]}
    witness = b64(genesis["hub"]["witness"])
    previous, last_ms, entries = bytes(32), 0, []
    for height, block in enumerate(stored_blocks(place)):
        header, signature, parts = parts_of(block)
        (version, own, number, before, count, root, time_ms, bits, sealer, _) = struct.unpack(
            ">I32sQ32sI32sQI32sQ", header
        )
        own_hash = hashlib.sha256(header).digest()
        assert (version, own, number, before) == (1, chain, height, previous)
        assert (count, root) == (len(parts), tree(parts))
        assert time_ms >= last_ms
        assert bits == genesis["difficulty_bits"]
        assert int.from_bytes(own_hash, "big") < 1 << 256 - bits
        assert sealer == hashlib.sha256(witness).digest()
        Ed25519PublicKey.from_public_bytes(witness).verify(
            signature, b"concura block v1\n" + own_hash
        )
        previous, last_ms = own_hash, time_ms
        if height == 0:
            assert parts[0] == founding
            for data in map(json.loads, parts[1:]):
                card = cards[data["member"]]
                pss(b64(card["sign"]), b64(data["signature"]), b"concura founding v1\n" + chain)
            assert len(parts) == 1 + len(cards)
            continue
        for data in parts:
            signed = json.loads(data)
            assert jcs(signed) == data
            entry = signed["entry"]
            assert bytes.fromhex(entry["chain"]) == chain
            key = b64(cards[entry["author"]]["sign"])
            assert hashlib.sha256(key).hexdigest() == signed["key"]
            digest = hashlib.sha256(jcs(entry)).digest()
            pss(key, b64(signed["signature"]), b"concura entry v1\n" + digest)
            entries.append((entry["type"], entry["body"]))
    return entries


def test_a_second_verifier_agrees_with_every_block_of_the_kept_ledger(told):
    blocks = stored_blocks(told.kept)
    counts = re.search(
        r"ledger verified: (\d+) blocks, (\d+) entries, final up to block (\d+)", told.out
    )
    assert 2 < int(counts[1]) <= len(blocks) <= int(counts[1]) + 3  # anchors came after
    assert len(replay(told.kept)) > 20
    assert int(counts[3]) <= len(blocks) - 1


def test_consents_transfers_and_rounds_stand_on_the_ledger_once_each(told):
    kinds = Counter(kind for kind, _ in replay(told.kept))
    bodies = {kind: [b for k, b in replay(told.kept) if k == kind] for kind in kinds}
    granted = sum(len(b["consents"]) for b in bodies["consent.grant"] if b["purpose"] == "research")
    assert granted == 500
    assert [len(b["consents"]) for b in bodies["consent.grant"] if b["purpose"] == "treatment"] == [
        1
    ]
    assert kinds["consent.revoke"] == 1
    # Three tries are refused: without a consent, to a false key, after the revocation.
    assert kinds["transfer.request"] == 4
    assert [b["reason"] for b in bodies["transfer.refuse"]] == [
        "consent.none",
        "key.mismatch",
        "consent.not-active",
    ]
    assert kinds["transfer.offer"] == kinds["transfer.acknowledge"] == 1
    assert [b["round"] for b in bodies["round.close"]] == list(range(1, 21))
    assert all(len(b["participants"]) == 4 for b in bodies["round.close"])
    assert kinds["study.open"] == kinds["model.publish"] == 1


def test_no_name_and_no_record_number_stands_in_what_the_hub_holds(told):
    folder = shipped_folder()
    planted = set()
    for hospital in list(folder.rows)[:2]:
        for resources in list(folder.resources(hospital))[:25]:
            patient = resources[0]
            planted |= {patient["identifier"][0]["value"], patient["id"]}
            planted |= {f"{n['given'][0]} {n['family']}" for n in patient.get("name", [])}
            planted |= {n["family"] for n in patient.get("name", []) if len(n["family"]) > 5}
    held = b"".join(path.read_bytes() for path in (told.kept / "hub").rglob("*") if path.is_file())
    logs = b"".join(path.read_bytes() for path in (told.kept / "logs").iterdir())
    for text in planted:
        assert text.encode() not in held, text
        assert text.encode() not in logs, text


def test_what_the_nodes_keep_is_unreadable_without_their_keys(told):
    folder = shipped_folder()
    codes = {b"8867-4", b"http://loinc.org", b"Observation"}
    for member in folder.rows:
        held = b"".join(p.read_bytes() for p in (told.kept / member / "data").iterdir())
        assert len(held) > 100_000
        assert not any(code in held for code in codes)


def test_private_files_are_their_owners_alone(told):
    for path in told.kept.rglob("*"):
        if path.name not in {"card.json", "invitation.json", "ca.pem"}:
            assert path.stat().st_mode & 0o077 == 0, path


def test_the_kept_consortium_starts_again_and_knows_its_ledger(told, capsys, tmp_path):
    place = Path(shutil.copytree(told.kept, tmp_path / "kept"))
    height = len(stored_blocks(told.kept)) - 1
    try:
        assert main(["up", str(place), "--lang", "en"]) == 0
        for _ in range(100):  # a node that missed the last block fetches it first
            capsys.readouterr()
            assert main(["status", str(place), "--json"]) == 0
            found = json.loads(capsys.readouterr().out)["processes"]
            if min(one.get("height", -1) for one in found) >= height:
                break
    finally:
        assert main(["down", str(place), "--lang", "en"]) == 0
    assert [one["running"] and one["height"] >= height for one in found] == [True] * 5
    assert stored_blocks(place)[: height + 1] == stored_blocks(told.kept)


# --- the heart-disease files, as they are -----------------------------------------------------------


@pytest.mark.data
def test_the_uci_files_play_as_they_are(data_folder, tmp_path):
    run = Run(tmp_path / "scratch", "--data", str(data_folder / "heart_disease"))
    assert (run.code, run.left) == (0, [])
    counts = [int(n) for n in re.findall(r": (\d+) patients, \d+ resources", run.out)]
    assert counts == [303, 294, 123, 200]
    assert "Files ignored: SOURCE.txt, heart-disease.names" in run.out
    imputed = re.search(r"(\d+) missing values are filled .*: (.+)", run.out)
    shown = {name: int(n) for name, n in re.findall(r"([^,]+?) (\d+)(?:, |$)", imputed[2])}
    assert shown["Cholesterol"] == 202
    assert sum(shown.values()) == int(imputed[1]) == expected_missing(data_folder)
    assert "Systolic" in run.out or "ressure" in run.out
    assert run.lines[-2].startswith("Decision: ")


def expected_missing(data_folder):
    """Count by hand: `?` anywhere but slope, ca, thal; 0 also for cholesterol and blood pressure."""
    total = 0
    for path in sorted((data_folder / "heart_disease").glob("processed.*.data")):
        rows = [line.split(",") for line in path.read_text().split()]
        cells = np.array([row[:10] for row in rows])
        total += int((cells == "?").sum())
        total += sum(int(float(c) == 0) for c in cells[:, [3, 4]].ravel() if c != "?")
    return total
