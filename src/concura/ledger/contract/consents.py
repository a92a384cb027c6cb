"""Consents: granted and revoked by the member that holds the data (PROTOCOLS §7).

A consent lets one reader receive one patient's records for one purpose until a time. The patient
stands here as a pseudonym that differs by purpose, holder and reader.

This module does NOT know who the patient is; a grant signed by a patient's own key comes later.
"""

from concura.ledger.contract.calls import Call, Get, Outcome, Steps, refuse
from concura.ledger.contract.keys import consent_key, member_key
from concura.ledger.contract.tables import CONSENT, EVERYONE, STUDY_PURPOSES, step
from concura.types import JsonObject

__all__ = ["grant", "revoke"]


def grant(call: Call) -> Steps:
    """Take in consents that the holder of the data enters; all or none."""
    body = call.body
    if body["reader"] == EVERYONE:
        # Nobody's treatment is everybody's business.
        if body["purpose"] not in STUDY_PURPOSES:
            return refuse("consent.reader")
    elif (yield Get(member_key(body["reader"]))) is None:
        return refuse("member.unknown")
    if body["not_after_ms"] <= call.time_ms:
        return refuse("consent.expired")
    ids = [item["id"] for item in body["consents"]]
    if len(set(ids)) != len(ids):
        return refuse("consent.exists")
    writes: dict[str, JsonObject | None] = {}
    for item in body["consents"]:
        key = consent_key(item["id"])
        if (yield Get(key)) is not None:
            return refuse("consent.exists")
        writes[key] = {
            "holder": call.author,
            "reader": body["reader"],
            "purpose": body["purpose"],
            "not_after_ms": body["not_after_ms"],
            "subject": item["subject"],
            "status": step(CONSENT, None, call.type),
        }
    return Outcome(writes, {"event": "granted", "consents": ids})


def revoke(call: Call) -> Steps:
    """End consents from this entry on; all or none. Only the holder may."""
    writes: dict[str, JsonObject | None] = {}
    for consent in call.body["consents"]:
        key = consent_key(consent)
        found = yield Get(key)
        if found is None:
            return refuse("consent.unknown")
        if found["holder"] != call.author:
            return refuse("consent.not-holder")
        status = step(CONSENT, found["status"], call.type)
        if status is None:
            return refuse("consent.not-active")
        writes[key] = {**found, "status": status}
    return Outcome(writes, {"event": "revoked", "consents": call.body["consents"]})
