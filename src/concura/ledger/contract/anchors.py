"""Anchors of the members' own access logs: a blinded root and a size that never falls.

This module does NOT see a read: those never go on the shared ledger (PROTOCOLS §5, §6).
"""

from concura.ledger.contract.calls import Call, Get, Outcome, Steps, refuse
from concura.ledger.contract.keys import anchor_key

__all__ = ["anchor"]


def anchor(call: Call) -> Steps:
    """Take in the newest anchor of the author's access log."""
    before = yield Get(anchor_key(call.author))
    if before is not None and call.body["size"] < before["size"]:
        return refuse("anchor.size")
    value = {"root": call.body["root"], "size": call.body["size"], "time_ms": call.time_ms}
    return Outcome({anchor_key(call.author): value}, None)
