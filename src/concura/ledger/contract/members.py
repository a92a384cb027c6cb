"""Who belongs to the consortium: founding, applying, admitting.

The quorum is the one of the co-signatures: the smallest q > (n+f)/2, where f = (n-1)//3 but at
least one: 3 of 3, 3 of 4, 4 of 5. A genesis that sets a lower one keeps it; any other grows with
the members.

This module does NOT check that a card's keys are sound or belong to the applicant: the shell does.
"""

import hashlib
from typing import Any

from concura.canonical import b64decode, encode
from concura.ledger.contract.calls import Call, Get, Outcome, Range, Steps, refuse
from concura.ledger.contract.keys import (
    CONSORTIUM,
    application_key,
    member_key,
    used_key,
    vote_key,
    within,
)
from concura.ledger.contract.tables import MEMBER, step
from concura.limits import MEMBERS_MAX
from concura.types import Digest, JsonObject

__all__ = ["admit", "apply", "card_digest", "found", "quorum_of"]


def quorum_of(members: int) -> int:
    """Return how many of `members` must agree: any two such groups share an honest member.

    Example:
        >>> [quorum_of(n) for n in (3, 4, 5)]
        [3, 3, 4]
    """
    # Also among two or three one may be dishonest: then all must agree.
    faulty = max(1, (members - 1) // 3)
    return min(members, (members + faulty) // 2 + 1)


def card_digest(card: JsonObject) -> Digest:
    """Return the SHA-256 of a card's canonical JSON, hex."""
    return Digest(hashlib.sha256(encode(card)).hexdigest())


def _fingerprints(card: JsonObject) -> list[str]:
    """Return the fingerprints of all keys of a card: none may serve twice (one key, one use)."""
    keys = [hashlib.sha256(b64decode(card[use])).hexdigest() for use in ("sign", "wrap", "witness")]
    return [*keys, card["tls"]]


def _write_member(card: JsonObject) -> dict[str, JsonObject | None]:
    member = card["member"]
    writes: dict[str, JsonObject | None] = {
        member_key(member): {"card": card, "status": step(MEMBER, "applied", "member.admit")},
    }
    writes.update({used_key(one): {"member": member} for one in _fingerprints(card)})
    return writes


def _is_taken(card: JsonObject) -> Any:
    """Yield questions until it is known whether one of the card's keys belongs to a member."""
    prints = _fingerprints(card)
    if len(set(prints)) != len(prints):
        return True
    for one in prints:
        if (yield Get(used_key(one))) is not None:
            return True
    return False


def found(call: Call) -> Steps:
    """Take in the founders; the shell calls it once, with the genesis that all of them signed."""
    if (yield Get(CONSORTIUM)) is not None:
        return refuse("consortium.founded")
    cards, quorum = call.body["members"], call.body["quorum"]
    prints = [one for card in cards for one in _fingerprints(card)]
    members = {card["member"] for card in cards}
    if len(set(prints)) != len(prints) or len(members) != len(cards) or quorum > len(cards):
        return refuse("consortium.malformed")
    writes: dict[str, JsonObject | None] = {
        CONSORTIUM: {
            "members": len(cards),
            "quorum": quorum,
            "fixed": quorum < quorum_of(len(cards)),
        },
    }
    for card in cards:
        writes.update(_write_member(card))
    return Outcome(writes, {"event": "founded", "members": sorted(members)})


def apply(call: Call) -> Steps:
    """Take in an application; it gives no rights until enough members admit it."""
    card = call.body["card"]
    if card["member"] != call.author:
        return refuse("member.not-author")
    if (yield Get(member_key(call.author))) is not None:
        return refuse("member.exists")
    if (yield from _is_taken(card)):
        return refuse("member.key-taken")
    digest = card_digest(card)
    key = application_key(call.author, digest)
    if (yield Get(key)) is not None:
        return refuse("member.exists")
    status = step(MEMBER, None, call.type)
    return Outcome(
        {key: {"card": card, "status": status}},
        {"event": "applied", "member": call.author, "card_digest": digest},
    )


def admit(call: Call) -> Steps:
    """Count one active member's vote for an application; the quorum's last vote admits."""
    member, digest = call.body["member"], Digest(call.body["card_digest"])
    application = yield Get(application_key(member, digest))
    if application is None:
        return refuse("member.unknown")
    if (yield Get(member_key(member))) is not None:
        return refuse("member.exists")
    vote = vote_key(member, digest, call.author)
    if (yield Get(vote)) is not None:
        return refuse("member.voted")
    consortium = yield Get(CONSORTIUM)
    votes = yield Range(*within(f"vote/{member}/{digest}"))
    writes: dict[str, JsonObject | None] = {vote: {}}
    event = {"event": "voted", "member": member}
    if len(votes) + 1 >= consortium["quorum"]:
        if (yield from _is_taken(application["card"])):
            return refuse("member.key-taken")
        if consortium["members"] >= MEMBERS_MAX:
            return refuse("member.too-many")
        writes.update(_write_member(application["card"]))
        writes[CONSORTIUM] = _grown(consortium)
        event = {"event": "admitted", "member": member}
    return Outcome(writes, event)


def _grown(consortium: JsonObject) -> JsonObject:
    members = consortium["members"] + 1
    quorum = consortium["quorum"] if consortium["fixed"] else quorum_of(members)
    return {**consortium, "members": members, "quorum": quorum}
