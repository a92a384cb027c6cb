"""Studies: opened, their rounds closed one after the other, their model published.

Only the member that opened a study writes its rounds and its model. A round names who contributed:
never fewer than the study's minimum, which is never below three (PROTOCOLS §8).

This module does NOT recompute a round: the participants compare the digest with what they summed.
"""

from concura.ledger.contract.calls import Call, Get, Outcome, Steps, refuse
from concura.ledger.contract.keys import member_key, model_key, study_key
from concura.ledger.contract.tables import STUDY, step
from concura.types import JsonObject

__all__ = ["CONTRIBUTORS_MIN", "close_round", "open_study", "publish"]

CONTRIBUTORS_MIN = 3  # a sum over two tells each of them the other's part


def open_study(call: Call) -> Steps:
    """Take in a study with its participants and the digest of its task."""
    body = call.body
    if not CONTRIBUTORS_MIN <= body["minimum"] <= len(body["participants"]):
        return refuse("study.minimum")
    for member in body["participants"]:
        if (yield Get(member_key(member))) is None:
            return refuse("member.unknown")
    key = study_key(body["study"])
    if (yield Get(key)) is not None:
        return refuse("study.exists")
    kept = {name: value for name, value in body.items() if name != "study"}
    study = {
        **kept,
        "author": call.author,
        "rounds": 0,
        "model_digest": None,
        "model": None,
        "status": step(STUDY, None, call.type),
    }
    return Outcome({key: study}, {"event": call.type, "study": body["study"]})


def close_round(call: Call) -> Steps:
    """Take in the result of the next round."""
    body = call.body
    study = yield Get(study_key(body["study"]))
    refusal = _why_not(call, study)
    if refusal is not None:
        return refuse(refusal)
    if body["round"] != study["rounds"] + 1:
        return refuse("round.order")
    named = set(body["participants"])
    if not named <= set(study["participants"]) or len(named) < study["minimum"]:
        return refuse("round.participants")
    after = {**study, "rounds": body["round"], "model_digest": body["model_digest"]}
    after["status"] = step(STUDY, study["status"], call.type)
    event = {"event": call.type, "study": body["study"], "round": body["round"]}
    return Outcome({study_key(body["study"]): after}, event)


def publish(call: Call) -> Steps:
    """Take in the study's model; the study ends with it."""
    body = call.body
    study = yield Get(study_key(body["study"]))
    refusal = _why_not(call, study)
    if refusal is not None:
        return refuse(refusal)
    if study["rounds"] == 0:
        return refuse("model.no-round")
    if (yield Get(model_key(body["model"]))) is not None:
        return refuse("model.exists")
    model = {
        "study": body["study"],
        "author": call.author,
        "metrics": body["metrics"],
        "entry": call.id,
        "rounds": study["rounds"],
    }
    after = {**study, "model": body["model"], "status": step(STUDY, study["status"], call.type)}
    writes: dict[str, JsonObject | None] = {
        study_key(body["study"]): after,
        model_key(body["model"]): model,
    }
    event = {"event": call.type, "study": body["study"], "model": body["model"]}
    return Outcome(writes, event)


def _why_not(call: Call, study: JsonObject | None) -> str | None:
    if study is None:
        return "study.unknown"
    if study["author"] != call.author:
        return "study.not-author"
    if step(STUDY, study["status"], call.type) is None:
        return "study.state"
    return None
