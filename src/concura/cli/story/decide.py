"""Deciding: one patient, the verdict with its reasons, and the way back to the ledger.

This module does NOT decide: the patient's own hospital does.
"""

from typing import Any

from concura.adapters.table_files import TableFolder
from concura.canonical import encode
from concura.cli.story.learn import Learned
from concura.cli.story.tell import Teller, both
from concura.cli.story.town import Town
from concura.errors import NotFound
from concura.ledger import Trust, verify_bundle
from concura.types import MemberId

__all__ = ["play_decision"]

_WAIT = "?wait=30"


def play_decision(
    town: Town, folder: TableFolder, learned: Learned, teller: Teller, *, patient: str | None
) -> None:
    """Play stage 6 and fill `decision` of the story.

    Args:
        town: the processes.
        folder: for the words of its features.
        learned: the model.
        teller: tells it.
        patient: a record number; None takes the held-out patient of highest risk.

    Raises:
        NotFound: no hospital has this record number.
    """
    model = learned.model.id
    hospital, number = _choose(town, model, patient)
    heading = "story.decide.patient" if patient is None else "story.decide.chosen"
    answers = {
        lang: town.ask(
            hospital, "POST", f"/models/{model}/decisions", {"number": number, "lang": lang}
        )
        for lang in ("en", "zh")
    }
    answer = answers["en"]
    proof = _prove(town, hospital, learned)
    words = {lang: answers[lang]["words"] for lang in answers}
    teller.line(heading, number=number, hospital=town.names[hospital])
    _tell(teller, words[teller.output.lang], proof)
    labels = {lang: folder.features.labels(lang) for lang in ("en", "zh")}
    units = folder.features.ucum()
    binary = folder.features.binary()
    teller.story["decision"] = {
        "line": {lang: words[lang]["line"] for lang in words},
        "verdict": answer["verdict"],
        "probability": answer["probability"],
        "threshold": answer["threshold"],
        "horizon": dict(folder.features.outcome.meaning),
        "reasons": [_reason(reason, labels, units, binary) for reason in answer["reasons"]],
        "next_step": {lang: words[lang]["action"] for lang in words},
        "imputed": answer["imputed"],
        "out_of_range": answer["out_of_range"],
        "model": proof,
        "patient": number,
        "hospital": hospital,
    }
    line = {lang: words[lang]["line"] for lang in words}
    teller.stop("decide", "story.road.decide", line=line, block=proof["block"])


def _choose(town: Town, model: str, patient: str | None) -> tuple[MemberId, str]:
    if patient is not None:
        for hospital in town.hospitals:
            try:
                path = f"/models/{model}/decisions"
                town.ask(hospital, "POST", path, {"number": patient})
            except NotFound:
                continue
            return hospital, patient
        raise NotFound("patient_number", what=patient)
    found = town.each(lambda h: town.ask(h, "GET", f"/models/{model}/highest"))
    with_held_out = {h: answer for h, answer in found.items() if answer}
    if not with_held_out:
        raise NotFound("held_out", what="held-out patient")
    best = max(with_held_out, key=lambda h: with_held_out[h]["risk"])
    return best, str(with_held_out[best]["number"])


def _prove(town: Town, hospital: MemberId, learned: Learned) -> dict[str, Any]:
    """Follow the model back to the co-signed ledger, and verify the proof here, offline."""
    entry = str(learned.origin["entry"])
    town.ask(hospital, "POST", f"/final{_WAIT}", {"entry": entry})
    bundle = town.ask(hospital, "GET", f"/proofs/{entry}")
    proven = verify_bundle(encode(bundle), trust=Trust.of(town.invitation.genesis))
    body = proven.entry.entry.body
    is_ours = proven.entry.entry.type == "model.publish" and body["model"] == learned.model.id
    return {
        "version": learned.model.version,
        "digest": learned.model.id,
        "parameters": learned.model.rounds_digest,
        "entry": entry,
        "block": proven.header.height,
        "final": proven.is_final and is_ours,
        "cosigners": len(proven.cosigners),
    }


def _tell(teller: Teller, words: dict[str, Any], proof: dict[str, Any]) -> None:
    for sentence in [words["risk"], *words["reasons"], *words["doubts"], words["step"]]:
        if sentence:
            teller.output.line(f"   {sentence}")
    teller.line(
        "story.decide.proof",
        version=proof["version"],
        block=proof["block"],
        count=proof["cosigners"],
    )
    teller.output.line(f"   {words['notice']}", style="warn")


def _reason(
    reason: dict[str, Any],
    labels: dict[str, dict[str, str]],
    units: dict[str, str],
    binary: frozenset[str],
) -> dict[str, Any]:
    name = reason["feature"]
    value: Any = reason["value"]
    if name in binary:
        value = both("decision.value.yes" if value else "decision.value.no")
    return {
        "feature": name,
        "label": {lang: labels[lang].get(name, name) for lang in labels},
        "value": value,
        "unit": units.get(name, ""),
        "direction": "up" if reason["direction"] == "raises" else "down",
        "contribution": reason["contribution"],
    }
