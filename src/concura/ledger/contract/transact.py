"""One call through the contract: shape, repetition, membership, then the rule of its type.

The rules form a table; a type that is not in it is refused. Everything here is deterministic: the
same state and the same call give the same outcome on every machine.
"""

from collections.abc import Callable, Mapping

from concura.ledger.contract.anchors import anchor
from concura.ledger.contract.calls import Call, Get, Outcome, Steps, refuse
from concura.ledger.contract.consents import grant, revoke
from concura.ledger.contract.keys import entry_key, member_key
from concura.ledger.contract.members import admit, apply, found
from concura.ledger.contract.shape import BODIES, has_shape
from concura.ledger.contract.studies import close_round, open_study, publish
from concura.ledger.contract.transfers import acknowledge, decline, offer, request

__all__ = ["RULES", "transact"]

RULES: Mapping[str, Callable[[Call], Steps]] = {
    "consortium.found": found,
    "member.apply": apply,
    "member.admit": admit,
    "consent.grant": grant,
    "consent.revoke": revoke,
    "transfer.request": request,
    "transfer.offer": offer,
    "transfer.refuse": decline,
    "transfer.acknowledge": acknowledge,
    "study.open": open_study,
    "round.close": close_round,
    "model.publish": publish,
    "access.anchor": anchor,
}

# Whoever is no member yet may only found and apply.
_OPEN_TO_ALL = frozenset({"consortium.found", "member.apply"})


def transact(call: Call) -> Steps:
    """Judge one call.

    Args:
        call: a call whose signature the shell verified against the author's key.

    Returns:
        A generator: it yields `Get` or `Range`, takes the answers, and returns the `Outcome`.

    Example:
        >>> next(transact(Call("00", "access.anchor", "a", 0, {"root": "0" * 64, "size": 0})))
        Get(key='entry/00')
    """
    # (1) the type is known and the body has exactly its shape
    rule = RULES.get(call.type)
    if rule is None:
        return refuse("type.unknown")
    if not has_shape(call.body, BODIES[call.type]):
        return refuse("body.malformed")
    # (2) an entry counts once
    key = entry_key(call.id)
    if (yield Get(key)) is not None:
        return refuse("entry.duplicate")
    # (3) the author is an active member
    if call.type not in _OPEN_TO_ALL:
        member = yield Get(member_key(call.author))
        if member is None or member["status"] != "active":
            return refuse("member.not-active")
    # (4) the rule of the type
    outcome = yield from rule(call)
    if outcome.refusal is not None:
        return outcome
    mark = {"type": call.type, "author": call.author}
    return Outcome({**outcome.writes, key: mark}, outcome.event)
