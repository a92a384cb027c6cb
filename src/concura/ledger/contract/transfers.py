"""Transfers of a record: requested by the reader, offered or refused by the holder, acknowledged.

Invariant: no member can cause a delivery to itself by its own entries alone. An offer is the
holder's, a request the reader's, and the two are never one member.

This module does NOT see the record; it holds its digest.
"""

from collections.abc import Callable

from concura.ledger.contract.calls import Call, Get, Outcome, Steps, refuse
from concura.ledger.contract.keys import consent_key, member_key, transfer_key
from concura.ledger.contract.tables import TRANSFER, step
from concura.types import JsonObject

__all__ = ["acknowledge", "decline", "offer", "request"]


def request(call: Call) -> Steps:
    """Take in a reader's wish; it moves nothing by itself."""
    body = call.body
    if body["holder"] == call.author:
        return refuse("transfer.self")
    if (yield Get(member_key(body["holder"]))) is None:
        return refuse("member.unknown")
    key = transfer_key(body["transfer"])
    if (yield Get(key)) is not None:
        return refuse("transfer.exists")
    transfer = {
        "reader": call.author,
        "holder": body["holder"],
        "purpose": body["purpose"],
        "request_digest": body["request_digest"],
        "consent": None,
        "digest": None,
        "reason": None,
        "status": step(TRANSFER, None, call.type),
    }
    return Outcome({key: transfer}, _event(call))


def offer(call: Call) -> Steps:
    """Let the holder release a record, under a consent that holds at this point of the ledger."""
    transfer = yield Get(transfer_key(call.body["transfer"]))
    refusal = _why_not(call, transfer, "holder")
    if refusal is not None:
        return refuse(refusal)
    consent = yield Get(consent_key(call.body["consent"]))
    if consent is None:
        return refuse("consent.unknown")
    for code, holds in _CONDITIONS.items():
        if not holds(call, transfer, consent):
            return refuse(code)
    return _moved(call, transfer, consent=call.body["consent"], digest=call.body["digest"])


def decline(call: Call) -> Steps:
    """Let the holder say no, so that the try stands on the ledger."""
    transfer = yield Get(transfer_key(call.body["transfer"]))
    refusal = _why_not(call, transfer, "holder")
    if refusal is not None:
        return refuse(refusal)
    return _moved(call, transfer, reason=call.body["reason"])


def acknowledge(call: Call) -> Steps:
    """Let the reader say that the offered object, and no other, arrived and was opened."""
    transfer = yield Get(transfer_key(call.body["transfer"]))
    refusal = _why_not(call, transfer, "reader")
    if refusal is not None:
        return refuse(refusal)
    if transfer["digest"] != call.body["digest"]:
        return refuse("transfer.digest")
    return _moved(call, transfer)


# Each condition of an offer with the code that is given when it fails, in order.
_CONDITIONS: dict[str, Callable[[Call, JsonObject, JsonObject], bool]] = {
    "consent.not-holder": lambda call, _, consent: consent["holder"] == call.author,
    "consent.reader": lambda _, transfer, consent: consent["reader"] == transfer["reader"],
    "consent.purpose": lambda _, transfer, consent: consent["purpose"] == transfer["purpose"],
    "consent.not-active": lambda _, __, consent: consent["status"] == "active",
    "consent.expired": lambda call, _, consent: call.time_ms <= consent["not_after_ms"],
}


def _why_not(call: Call, transfer: JsonObject | None, role: str) -> str | None:
    """Return why this author may not move this transfer now, or None."""
    if transfer is None:
        return "transfer.unknown"
    if transfer[role] != call.author:
        return f"transfer.not-{role}"
    if step(TRANSFER, transfer["status"], call.type) is None:
        return "transfer.state"
    return None


def _moved(call: Call, transfer: JsonObject, **changes: str) -> Outcome:
    status = step(TRANSFER, transfer["status"], call.type)
    after = {**transfer, **changes, "status": status}
    return Outcome({transfer_key(call.body["transfer"]): after}, _event(call))


def _event(call: Call) -> JsonObject:
    return {"event": call.type, "transfer": call.body["transfer"]}
